package clienttest

import (
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
)

// A Fault is something that goes wrong with a request.
type Fault struct{ do testserver.Action }

// Always, as a number of requests, is all of them until ClearFaults.
const Always = testserver.Always

// FailToken makes fault happen to the next n requests to the token endpoint.
func (s *Server) FailToken(n int, fault Fault) { s.srv.Inject(testserver.OnToken, n, fault.do) }

// FailAPI makes fault happen to the next n requests to the API.
func (s *Server) FailAPI(n int, fault Fault) { s.srv.Inject(testserver.OnAPI, n, fault.do) }

// FailRevocation makes fault happen to the next n requests to the revocation
// endpoint.
func (s *Server) FailRevocation(n int, fault Fault) { s.srv.Inject(testserver.OnRevoke, n, fault.do) }

// ClearFaults ends all faults.
func (s *Server) ClearFaults() { s.srv.ClearFaults() }

// Status answers with the given status and a line of text. header is names and
// values in turn: Status(503, "Retry-After", "30").
func Status(status int, header ...string) Fault {
	return Fault{testserver.Status(status, header...)}
}

// OAuthError answers as a token endpoint that refuses (RFC 6749 §5.2), with the
// status 400 and the given code: "invalid_grant", "invalid_client".
func OAuthError(code string) Fault { return Fault{testserver.OAuthError(400, code, "")} }

// HTML answers with a page, as gateways and firewalls do.
func HTML(status int) Fault { return Fault{testserver.HTML(status)} }

// Unauthorized answers 401, with a WWW-Authenticate line for each challenge.
func Unauthorized(challenges ...string) Fault {
	return Fault{testserver.Unauthorized(challenges...)}
}

// InsufficientScope answers 403 and asks for scope (RFC 6750 §3.1).
func InsufficientScope(scope string) Fault { return Fault{testserver.InsufficientScope(scope)} }

// Drop breaks the connection before the server acts.
func Drop() Fault { return Fault{testserver.Drop()} }

// LoseAnswer lets the server act, a refresh token rotate, and breaks the
// connection instead of answering.
func LoseAnswer() Fault { return Fault{testserver.LoseAnswer()} }

// Truncate lets the server act, and breaks the connection in the middle of the
// answer.
func Truncate() Fault { return Fault{testserver.Truncate()} }

// Redirect answers with a status such as 307, and url as the Location.
func Redirect(status int, url string) Fault { return Fault{testserver.Redirect(status, url)} }

// Delay waits for d before the server acts.
func Delay(d time.Duration) Fault { return Fault{testserver.DelayBefore(d)} }

// Hang does not answer until the client goes. The server does not act.
func Hang() Fault { return Fault{testserver.Hang()} }

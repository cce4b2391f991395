package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// record makes the next record of a session from the last one and an answer.
// asked is the scope that the request asked for.
//
// With an error comes a record only if the answer has a new refresh token: the
// one in old may be spent, so this one is kept whatever else is wrong.
func (e *tokenEndpoint) record(a *answer, old tokenstore.Record, target, asked string) (tokenstore.Record, error) {
	if a.status/100 != 2 {
		return tokenstore.Record{}, e.failure(a)
	}
	rec := old.Clone()
	rec.Issuer, rec.ClientID = e.issuer, e.identity.id
	if e.key != nil {
		rec.DPoPKey = e.key.kept
	}
	rotated := e.keepRefreshToken(a, &rec)
	access, err := a.accessToken()
	switch {
	case a.fault == nil && !a.said() && err == nil:
	case rotated:
		return rec, e.failure(a)
	default:
		return tokenstore.Record{}, e.failure(a)
	}
	t := tokenstore.AccessToken{Target: target, Token: access, Type: e.quirks.tokenType(a.tokenType()), Issued: a.began}
	if d := a.lifetime("expires_in"); d > 0 {
		t.Expiry = a.began.Add(d)
	}
	e.setScope(a, &rec, &t, asked)
	rec.SetToken(t)
	if id := a.idToken(); !id.IsZero() {
		rec.IDToken = id
	}
	rec.Extra = mergeExtra(rec.Extra, a.members)
	if fault := e.typeFault(t.Type); fault != "" {
		what := fmt.Sprintf("the access token is of type %q, and %s", clean(t.Type, a.secrets, maxTokenType), fault)
		return rec, &transport.RefreshError{Kind: transport.Misconfigured, Err: a.wrong(what)}
	}
	return rec, nil
}

// typeFault says why a token of that type is not used, or nothing (RFC 6749 §7.1: a type
// that is not understood is not).
func (e *tokenEndpoint) typeFault(tokenType string) string {
	switch {
	case e.key == nil && bearer(tokenType), e.key != nil && isDPoP(tokenType):
		return ""
	case e.key == nil:
		return "only Bearer can be sent"
	case !bearer(tokenType):
		return "only DPoP can be sent"
	case e.keys.cfg.AllowBearer:
		return ""
	}
	return "Config.DPoP wants it bound to a key: register the client for DPoP at the server, or set DPoP.AllowBearer" // RFC 9449 §5
}

// failure returns what an answer means that brings no access token. Where no
// login helps, none is asked for.
func (e *tokenEndpoint) failure(a *answer) *transport.RefreshError {
	re := a.failure()
	if !e.grant.refreshable() {
		re.Doubtful = false
		if re.Kind == transport.LoginRequired {
			re.Kind = transport.Misconfigured
		}
	}
	return re
}

// keepRefreshToken puts the answer's refresh token into rec, if there is one
// (RFC 6749 §6: otherwise the old one goes on), and reports whether it is
// another than before. Where the grant renews itself none is kept at all.
func (e *tokenEndpoint) keepRefreshToken(a *answer, rec *tokenstore.Record) bool {
	if !e.grant.refreshable() {
		rec.RefreshToken, rec.RefreshExpiry = tokenstore.Secret{}, time.Time{}
		return false
	}
	token, ok := a.refreshToken()
	rotated := ok && !token.Equal(rec.RefreshToken)
	if !ok && !a.members.absent("refresh_token") {
		e.log.Error("freshet: the server gave a refresh token that can't be kept: it is no string, or has a character that no token has")
	}
	if rotated {
		rec.RefreshToken, rec.RefreshExpiry = token, time.Time{}
	}
	// Not standard; the first name was seen at GitHub, the second at Keycloak.
	if names := []string{"refresh_token_expires_in", "refresh_expires_in"}; !a.members.absent(names[0]) || !a.members.absent(names[1]) {
		rec.RefreshExpiry = time.Time{}
		if d := a.lifetime(names...); d > 0 {
			rec.RefreshExpiry = a.began.Add(d)
		}
	}
	return rotated
}

// setScope notes what was granted (RFC 6749 §3.3, §5.1): what the answer says, or
// else what was asked for, or granted before. A scope that was narrowed on
// request is the token's alone; the session still has what it had (§6).
func (e *tokenEndpoint) setScope(a *answer, rec *tokenstore.Record, t *tokenstore.AccessToken, asked string) {
	granted := a.scope()
	if t.Target != "" || e.grant.refreshable() && asked != "" {
		t.Scope = cmp.Or(granted, asked)
		rec.Scope = cmp.Or(rec.Scope, e.scope)
		return
	}
	rec.Scope = cmp.Or(granted, asked, rec.Scope, e.scope)
}

// maxScope is how long a scope may be that is kept.
const maxScope = 16 << 10

// scope returns the scope of the answer, space-separated (RFC 6749 §3.3). Some
// servers separate by commas, or give an array. "" is none, or none that can be
// kept.
func (a *answer) scope() string {
	var list []string
	if text, ok := a.members.text("scope"); ok {
		list = strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	} else if json.Unmarshal(a.members["scope"], &list) != nil {
		return ""
	}
	list = slices.DeleteFunc(list, func(s string) bool { return !isScope(s) })
	if scope := strings.Join(list, " "); len(scope) <= maxScope {
		return scope
	}
	return ""
}

// knownMembers are the members of an answer that have their place in the record,
// or none because they are about this answer alone.
var knownMembers = []string{
	"access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in", "refresh_expires_in",
	"scope", "id_token", "error", "error_description", "error_uri",
}

const (
	// maxExtra is how many bytes of other members a record keeps, names and all.
	maxExtra = 64 << 10

	// maxDepth is how deep a member may be nested that is kept. The record is
	// JSON too, and has to be read again.
	maxDepth = 64
)

// mergeExtra returns the other members of all answers so far: those of this one
// over those of earlier ones; null takes one away. If they are too many, the
// smallest are kept.
func mergeExtra(extra map[string]tokenstore.Secret, ms members) map[string]tokenstore.Secret {
	extra = maps.Clone(extra)
	for name, value := range ms {
		switch {
		case slices.Contains(knownMembers, name):
		case string(value) == "null" || depth(value) > maxDepth:
			delete(extra, name)
		default:
			if extra == nil {
				extra = make(map[string]tokenstore.Secret)
			}
			extra[name] = tokenstore.NewSecret(string(value))
		}
	}
	size := func(name string) int { return len(name) + len(extra[name].Reveal()) }
	names := slices.SortedFunc(maps.Keys(extra), func(a, b string) int {
		return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(a, b))
	})
	sum := 0
	for _, name := range names {
		if sum += size(name); sum > maxExtra {
			delete(extra, name)
		}
	}
	return extra
}

// depth returns how deep the JSON is nested.
func depth(value []byte) int {
	deepest, now, inString := 0, 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

package clienttest

import (
	"context"
	"errors"
	"net/url"

	"github.com/freshet-go/freshet/internal/testserver"
)

// Approve is the browser and its user in one: it opens a URL of the authorization
// endpoint, signs account in, says yes, and goes back to the program. Every account is
// known. For a login on this machine it is the Open of [client.LoginOptions]:
//
//	Open: func(ctx context.Context, url string) error { return srv.Approve(ctx, url, "alice") }
func (s *Server) Approve(ctx context.Context, authURL, account string) error {
	return s.srv.Visit(ctx, testserver.Person{Account: account}, authURL)
}

// Deny is Approve by a user who says no.
func (s *Server) Deny(ctx context.Context, authURL, account string) error {
	return s.srv.Visit(ctx, testserver.Person{Account: account, Denies: true}, authURL)
}

// Callback is Approve without the way back: it returns the parameters with which the
// browser would come to the redirect URI, for [client.Client.FinishLogin].
func (s *Server) Callback(ctx context.Context, authURL, account string) (url.Values, error) {
	return s.srv.Callback(ctx, testserver.Person{Account: account}, authURL)
}

var errNoDevice = errors.New("clienttest: no device waits with this code")

// ApproveDevice enters the code of a device and says yes, for account.
func (s *Server) ApproveDevice(userCode, account string) error {
	if account == "" || !s.srv.AnswerDevice(userCode, account) {
		return errNoDevice
	}
	return nil
}

// DenyDevice enters the code of a device and says no.
func (s *Server) DenyDevice(userCode string) error {
	if !s.srv.AnswerDevice(userCode, "") {
		return errNoDevice
	}
	return nil
}

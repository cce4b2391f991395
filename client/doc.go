// Package client keeps programs signed in to OAuth 2.0 servers (RFC 6749).
//
//	c, err := client.New(client.Config{
//		Issuer:   "https://auth.example.com",
//		ClientID: "my-app",
//		Scopes:   []string{"offline_access"},
//		Store:    tokenstore.Dir("/var/lib/my-app/tokens"),
//		Origins:  []string{"https://api.example.com"},
//	})
//	alice := c.Session("alice@example.com")
//	resp, err := alice.HTTPClient().Get("https://api.example.com/v1/me")
//	if errors.Is(err, client.ErrLoginRequired) {
//		err = alice.Login(ctx, nil) // in the browser, once
//	}
//
// A [Client] is the program's registration at one server, a [Session] one
// account's authorization there. A session begins with a login: [Session.Login] on
// its user's machine, [Client.BeginLogin] in a web back end, [Session.LoginDevice]
// where there is no browser; with tokens that the program has, by [Session.Import];
// or by a [Grant], without a user.
//
// [Session.HTTPClient] and [Session.Wrap] give an http.Client whose requests carry the
// session's token; [Session.TokenSource] gives the interface of x/oauth2. What is
// promised on expiry, 401s, outages and crashes stands in package transport. With
// Config.DPoP the tokens are bound to a key.
//
// [FromOAuth2] takes over the configuration of an x/oauth2 program. The package
// clienttest has a server for the tests of programs that use this one.
package client

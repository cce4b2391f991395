// Package testserver is an authorization server and a protected API for tests:
// real HTTP, scriptable behaviour, and a log that says what came.
//
//	srv := testserver.New()            // in memory; NewLoopback listens on 127.0.0.1
//	defer srv.Close()
//	tokens := srv.BeginSession("alice") // stands in for a login
//	srv.Inject(testserver.OnRefresh, 1, testserver.LoseAnswer())
//	// … the program under test uses srv.Client(), srv.TokenURL(), srv.APIURL("/me") …
//	if n := srv.Log().Refreshes(); n != 1 {
//		t.Errorf("%d refreshes, want 1", n)
//	}
//
// What the server does as a rule is its [Policy]: lifetimes, rotation, reuse,
// client authentication, the shape of its answers. What goes wrong now and then
// is an [Action] that is injected for the next requests that a [Match]
// describes. A [Gate] holds requests back until a test lets them go. The [Log]
// answers what a test asks afterwards.
//
// The zero Policy is a strict server: an access token lives for an hour, each
// refresh token works once, and a spent one that comes again ends its session.
//
// In memory, a [Server] is reached by [Server.Client] or [Server.Transport]
// whatever the name in the URL: https://auth.test is the authorization server,
// every other host an API, https needs no certificates, and nothing touches the
// network, so that it all works in a bubble of testing/synctest. Create the
// server inside the bubble, and close it there.
//
// Everything here may be used by many goroutines at once.
package testserver

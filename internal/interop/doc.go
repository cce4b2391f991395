// Package interop has no code: its tests run Freshet against authorization servers
// that others wrote.
//
//	fositeserver   ory/fosite, in the process of the test
//	oidcprovider   oidc-provider, a process of its own; it needs node and npm
//	person         who signs in at the browser
//
// Both rotate refresh tokens, and end the session at reuse without any grace.
//
// What stands between Freshet and the server, breaks answers and keeps the log is
// [github.com/freshet-go/freshet/internal/testserver.Server.StandBefore].
//
// It is a module of its own, because the servers need many others. Run it here:
//
//	go test ./...
//	FRESHET_TEST_TIME=20s go test -v -run Lifetimes .   # all of it, four minutes
package interop

// Package interop has no code: its tests run Freshet against authorization servers
// that others wrote, with every part in the process of the test.
//
//	fositeserver   ory/fosite: rotation, reuse ends the session, no grace
//	person         who signs in at the browser
//
// What stands between Freshet and the server, breaks answers and keeps the log is
// [github.com/freshet-go/freshet/internal/testserver.Server.StandBefore].
//
// It is a module of its own, because the servers need many others. Run it here:
//
//	go test ./...
//	FRESHET_TEST_TIME=20s go test -v -run Lifetimes .   # all of it, a minute
package interop

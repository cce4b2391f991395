// Package transport keeps access tokens fresh and puts them on HTTP requests. It
// is the core of Freshet and knows no grant: where a new token comes from is a
// [RefreshFunc], which package client makes from an OAuth 2.0 configuration, and
// a program may write by hand, for an STS, a GitHub App, or any
// [golang.org/x/oauth2.TokenSource]; see [FromTokenFunc].
//
// A [Source] has the tokens of one session: the life of a token. A [Transport] is
// an http.RoundTripper over a Source: the life of a request. Both say in their
// documentation what happens step by step.
//
// # What is promised
//
//	expiry       A token is refreshed ahead of its expiry, once, however many
//	             goroutines ask, and behind their backs. Callers wait where there
//	             is no usable token, each on its own context, and for the first
//	             refresh of a process, 5 s at most while the token is usable.
//	401          One refresh for all requests that were rejected; each is sent
//	             again, once. If the refresh fails, the caller has the 401.
//	outage       A token that is still valid goes on being used. Nothing that a
//	             broken server says ends a session. Tries come at growing pauses,
//	             shared by all.
//	rotation     A new refresh token is saved before its access token is handed
//	             out. If the store can't save it for 2 s, the new token is used,
//	             and saving it is tried until it works. The old one is not sent
//	             again.
//	goroutines   A refresh belongs to no caller: nobody's cancellation ends it, and
//	             what it brings is saved.
//	processes    Those that share a store take turns. What one has stored, the
//	             others take without asking the server.
//	crash        The store holds the old record or the new one. Between the
//	             server's rotation and the save a crash costs the session, unless
//	             the server takes the old refresh token once more.
//	lost record  A record that is gone, or an older copy, is written back by a
//	             process that holds the session. Only Forget deletes.
//	logout       Ends the session in every process that shares the store, whether or
//	             not the server can be told. A refresh that is under way, here or
//	             elsewhere, does not bring it back; the token that it brings is
//	             revoked. Another process notices when its access token is due.
//	login        When the server refuses the refresh token, every call that needs a
//	             new token fails with [ErrLoginRequired], without asking the server
//	             again, until there is another: except once an hour, for servers
//	             were seen that refused everybody by mistake.
//
// What stays possible: a crash, or a pause that outlasts a store's lease, between
// sending a refresh token and saving its successor; an answer that is lost or late
// from a server that takes a refresh token only once; a store that loses its data
// while another process acts on an older copy.
package transport

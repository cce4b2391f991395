// Package browser has no code: its tests sign in with a real browser, Chromium without a
// window. It is a module of its own, because driving one needs others.
//
// The tests take the browser that the environment variable CHROME names, or chromium or
// google-chrome on the PATH. With SCREENSHOTS they leave pictures of the pages in the
// directory that it names:
//
//	SCREENSHOTS=/tmp/pictures go test ./...
package browser

package transport

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
)

// All that the caller set goes out beside the token, however many fields there
// are, and also where one is as long as Authorization.
func TestWithToken_keeps_every_field(t *testing.T) {
	_, tok := rejectable(t, 0)
	for n := range 70 {
		h := make(http.Header)
		for i := range n {
			h.Set(fmt.Sprint("X-", i), "v")
		}
		out := withToken(&http.Request{Header: h}, Token{tok}, 0)
		if got := out.Header.Get("Authorization"); got != "Bearer at" {
			t.Fatalf("Authorization is %q", got)
		}
		delete(out.Header, "Authorization")
		if !maps.EqualFunc(out.Header, h, func(a, b []string) bool { return len(a) == 1 && a[0] == b[0] }) {
			t.Errorf("of %d fields %d are left", n, len(out.Header))
		}
	}
	for name, want := range map[string]bool{"Authorization": true, "authorization": true, "AUTHORIZATION": true, "If-None-Match": false, "Accept-Ranges": false} {
		if got := hasAuthorization(http.Header{name: nil}); got != want {
			t.Errorf("%s is taken for Authorization: %t", name, got)
		}
	}
}

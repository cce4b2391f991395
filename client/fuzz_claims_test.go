package client

import (
	"encoding/base64"
	"encoding/json"
	"testing"
)

// FuzzClaims compares with encoding/json, and takes nothing for a nonce that is none.
func FuzzClaims(f *testing.F) {
	for _, claims := range []string{`{"nonce":"n"}`, `{"nonce":5}`, `{"nonce":"n","nonce":"m"}`, `{"Nonce":"n"}`, "", "[]"} {
		f.Add("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig")
	}
	f.Add("a.b")
	f.Fuzz(func(t *testing.T, jwt string) {
		ms, err := claimsIn(jwt)
		if err != nil {
			if checkNonce(jwt, "n") == nil {
				t.Errorf("%q: %v, and its nonce is taken", jwt, err)
			}
			return
		}
		nonce, _ := ms.text("nonce")
		if got := checkNonce(jwt, "n") == nil; got != (nonce == "n") {
			t.Errorf("nonce %q: taken %t", nonce, got)
		}
		if b, err := json.Marshal(ms); err != nil || !json.Valid(b) {
			t.Errorf("claims %q: %v", b, err)
		}
	})
}

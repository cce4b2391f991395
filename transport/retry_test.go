package transport

import (
	"net/http"
	"strings"
	"testing"
)

func TestDeservesRefresh(t *testing.T) {
	const yes, no, unlessRequired = "yes", "no", "unless a challenge is required"
	tests := []struct {
		name   string
		status int
		lines  []string
		code   string
		want   string
	}{
		{"invalid_token", 401, []string{`Bearer realm="a", error="invalid_token"`}, "invalid_token", yes},
		{"in other cases", 401, []string{`BEARER Error="invalid_token"`}, "invalid_token", yes},
		{"DPoP", 401, []string{`DPoP error="invalid_token", algs="ES256"`}, "invalid_token", yes},
		{"no error", 401, []string{`Bearer realm="a"`}, "", yes},
		{"no parameters", 401, []string{"Bearer"}, "", yes},
		{"DPoP without error", 401, []string{`DPoP algs="ES256"`}, "", yes},
		{"an empty error", 401, []string{`Bearer error=""`}, "", yes},
		{"two errors", 401, []string{`Bearer error="insufficient_scope", error="invalid_request"`}, "", yes},
		{"a code that servers make up", 401, []string{`Bearer error="token_expired"`}, "token_expired", yes},
		{"a code that is no code", 401, []string{"Bearer error=\"a\tb\""}, "a\tb", yes},

		{"no field", 401, nil, "", unlessRequired},
		{"an empty field", 401, []string{""}, "", unlessRequired},
		{"not to be read", 401, []string{`Bearer realm=https://a/b`}, "", unlessRequired},
		{"not to be read at all", 401, []string{`OAuth "Platform" "invalid_token" "The token has expired."`}, "", unlessRequired},
		{"a foreign scheme and something not to be read", 401, []string{`Basic realm="a", Bearer error=@`}, "", unlessRequired},
		{"too long", 401, []string{`Bearer realm="` + strings.Repeat("a", maxChallengeBytes) + `"`}, "", unlessRequired},

		{"Basic", 401, []string{`Basic realm="a"`}, "", no},
		{"Negotiate and NTLM", 401, []string{"Negotiate", "NTLM"}, "", no},
		{"the code of a foreign scheme", 401, []string{`Digest error="invalid_token"`}, "", no},
		{"a scheme that is much the same", 401, []string{`Bearer2 error="invalid_token"`}, "", no},
		{"insufficient_scope", 401, []string{`Bearer error="insufficient_scope", scope="a"`}, "insufficient_scope", no},
		{"insufficient_user_authentication", 401, []string{`Bearer error="insufficient_user_authentication", max_age=5`}, "insufficient_user_authentication", no},
		{"invalid_request", 401, []string{`Bearer error="invalid_request"`}, "invalid_request", no},
		{"invalid_client", 401, []string{`Bearer error="invalid_client"`}, "invalid_client", no},
		{"use_dpop_nonce", 401, []string{`dpop error="use_dpop_nonce"`}, "use_dpop_nonce", no},
		{"invalid_dpop_proof", 401, []string{`DPoP error="invalid_dpop_proof"`}, "invalid_dpop_proof", no},

		{"another scheme offered beside invalid_token", 401, []string{`Basic realm="a", Bearer error="invalid_token"`}, "invalid_token", yes},
		{"another scheme offered beside Bearer", 401, []string{"Negotiate", "Bearer"}, "", yes},
		{"another scheme offered beside insufficient_scope", 401, []string{`Bearer error="insufficient_scope"`, "Basic"}, "insufficient_scope", no},
		{"DPoP offered beside a refusal", 401, []string{`DPoP algs="ES256", Bearer error="insufficient_scope"`}, "insufficient_scope", no},
		{"DPoP with a nonce, Bearer offered", 401, []string{`Bearer realm="a", DPoP error="use_dpop_nonce"`}, "use_dpop_nonce", no},
		{"invalid_token beside a refusal", 401, []string{`DPoP error="use_dpop_nonce", Bearer error="invalid_token"`}, "invalid_token", yes},
		{"a refusal beside a made-up code", 401, []string{`Bearer error="oops", DPoP error="invalid_request", Bearer error="oops"`}, "invalid_request", no},

		{"no 401 but 200", 200, []string{`Bearer error="invalid_token"`}, "", no},
		{"no 401 but 400", 400, []string{`Bearer error="invalid_token"`}, "", no},
		{"no 401 but 403", 403, []string{`Bearer error="invalid_token"`}, "", no},
		{"no 401 but 407", 407, nil, "", no},
		{"no 401 but 503", 503, nil, "", no},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, required := range []bool{false, true} {
				want := test.want == yes || test.want == unlessRequired && !required
				code, got := deservesRefresh(answer(test.status, test.lines...), Retry{ChallengeRequired: required})
				if got != want || code != test.code {
					t.Errorf("challenge required %t: got %q, %t; want %q, %t", required, code, got, test.code, want)
				}
			}
		})
	}
}

func TestRetry_resends(t *testing.T) {
	for method, idempotent := range map[string]bool{
		"": true, http.MethodGet: true, http.MethodHead: true, http.MethodOptions: true,
		http.MethodTrace: true, http.MethodPut: true, http.MethodDelete: true,
		http.MethodPost: false, http.MethodPatch: false, http.MethodConnect: false,
		"get": false, "PROPFIND": false,
	} {
		if !(Retry{}).resends(method) {
			t.Errorf("%q is not sent again by default", method)
		}
		if got := (Retry{IdempotentOnly: true}).resends(method); got != idempotent {
			t.Errorf("%q with IdempotentOnly: got %t, want %t", method, got, idempotent)
		}
	}
}

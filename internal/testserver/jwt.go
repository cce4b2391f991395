package testserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

// accessJWT has no id of its own, so that two of one second are the same.
func (t *tokenTable) accessJWT(now, expires time.Time, sess *session, scope string) string {
	return t.sign("at+jwt", map[string]any{
		"sub": sess.account, "scope": scope, "iat": now.Unix(), "exp": expires.Unix(),
	})
}

func (t *tokenTable) idToken(p *Policy, now time.Time, sess *session) string {
	if !p.IDToken {
		return ""
	}
	return t.sign("JWT", map[string]any{
		"sub": sess.account, "aud": sess.client,
		"iat": now.Unix(), "exp": now.Add(p.accessLifetime()).Unix(),
	})
}

func (t *tokenTable) sign(typ string, claims map[string]any) string {
	head, _ := json.Marshal(map[string]string{"alg": "HS256", "typ": typ})
	body, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(head) + "." + b64(body)
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

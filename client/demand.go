package client

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// A Demand is what an API wants of a user before it serves a request: more scopes (RFC
// 6750 §3.1), or a login that is stronger or newer (RFC 9470 §3). No refresh brings it. Give
// it to the next login as [LoginOptions].Demand. The zero value demands nothing.
type Demand struct {
	// Scopes are those that the request needs.
	Scopes []string

	// ACRValues are the authentication contexts of which one will do, best first.
	ACRValues []string

	// MaxAge is how long ago the user may have signed in. If nil, as long as you like;
	// zero wants a new login in any case.
	MaxAge *time.Duration

	// Metadata is the URL of the API's metadata, as the API has it; see
	// [Client.ResourceMetadata].
	Metadata string
}

// DemandOf returns what resp, an answer of an API, demands, and false if a login would be
// no answer to it. All of it is the API's word.
func DemandOf(resp *http.Response) (d Demand, ok bool) {
	if resp == nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return Demand{}, false
	}
	for _, c := range transport.Challenges(resp) {
		if !strings.EqualFold(c.Scheme, "Bearer") && !isDPoP(c.Scheme) {
			continue
		}
		if d.Metadata == "" {
			d.Metadata = c.Param("resource_metadata")
		}
		switch c.Param("error") {
		case "insufficient_scope":
			d.Scopes = append(d.Scopes, scopesIn(c.Param("scope"))...)
		case "insufficient_user_authentication":
			d.ACRValues = append(d.ACRValues, scopesIn(c.Param("acr_values"))...)
			d.MaxAge = cmp.Or(maxAge(c.Param("max_age")), d.MaxAge)
		default:
			continue
		}
		ok = true
	}
	return d, ok
}

// scopesIn returns the words of a list that can be scopes, or values of acr, which have
// the same letters.
func scopesIn(text string) []string {
	return slices.DeleteFunc(strings.Fields(text), func(s string) bool { return !isScope(s) })
}

func maxAge(text string) *time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil
	}
	d := time.Duration(n) * time.Second
	return &d
}

// ask puts the demand into an authorization request (RFC 9470 §4), beside what it asks for
// anyway.
func (d *Demand) ask(form url.Values) {
	if d == nil {
		return
	}
	if len(d.ACRValues) > 0 {
		form.Set("acr_values", strings.Join(d.ACRValues, " "))
	}
	if d.MaxAge != nil {
		form.Set("max_age", strconv.Itoa(int(d.MaxAge.Seconds())))
	}
	scopes := strings.Fields(form.Get("scope"))
	for _, s := range d.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
}

func (d *Demand) check(p *problems) {
	if d == nil {
		return
	}
	checkWords(p, "Scopes", d.Scopes)
	checkWords(p, "ACRValues", d.ACRValues)
	if d.MaxAge != nil {
		p.duration("Demand.MaxAge", *d.MaxAge)
	}
}

func checkWords(p *problems, field string, words []string) {
	for i, s := range words {
		if !isScope(s) {
			p.add("Demand.%s[%d] is empty or has a character that none has", field, i)
		}
	}
}

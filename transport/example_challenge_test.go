package transport_test

import (
	"fmt"
	"net/http"

	"github.com/freshet-go/freshet/transport"
)

// An API that wants more than the token allows says what: a wider scope, or a
// newer or stronger login. A refresh brings neither, so the program gets the
// answer and can begin a login that asks for it.
func ExampleChallenges() {
	resp := &http.Response{
		StatusCode: http.StatusForbidden,
		Header: http.Header{"Www-Authenticate": {
			`Bearer realm="files", error="insufficient_scope", scope="files.read files.write"`,
		}},
	}
	for _, c := range transport.Challenges(resp) {
		switch c.Param("error") {
		case "insufficient_scope":
			fmt.Println("log in with the scopes:", c.Param("scope"))
		case "insufficient_user_authentication":
			fmt.Println("log in again:", c.Param("acr_values"), c.Param("max_age"))
		}
	}
	// Output:
	// log in with the scopes: files.read files.write
}

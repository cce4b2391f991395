package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
)

// keyCases are about the keys of records.
var keyCases = []testCase{{
	name: "bad-keys",
	rule: "What tokenstore.CheckKey refuses is an error that Is tokenstore.ErrKey in Load, Update and Delete, and Update's function is not called. " +
		"Begin each of the methods with CheckKey.",
	run: badKeys,
}, {
	name: "distinct-keys",
	rule: "Every key of 1 to 255 printable ASCII characters has a record of its own, whatever the characters mean elsewhere. " +
		"Databases and file systems that ignore case, cut long names or know special ones take two for one, and hand out the token of another account.",
	run: distinctKeys,
}, {
	name: "keys",
	rule: "Keys, where there is such a method, gives each key that has a record once, and no other, not even one that was deleted or whose first Update failed. " +
		"It stops when the loop over it does.",
	run: listKeys,
}}

func badKeys(c *check) {
	for _, key := range []string{"", "a b", " ", "a\x00", "é", "a\n", "a\x7f", strings.Repeat("k", 256)} {
		_, loadErr := c.store.Load(c.Context(), key)
		for method, err := range map[string]error{
			"Load":   loadErr,
			"Update": c.store.Update(c.Context(), key, c.never()),
			"Delete": c.store.Delete(c.Context(), key),
		} {
			if !errors.Is(err, tokenstore.ErrKey) {
				c.Errorf("%s(%.20q) = %v, want an error that Is tokenstore.ErrKey", method, key, err)
			}
		}
	}
}

// nastyKeys returns keys that somebody might take for another one, or for
// something else.
func nastyKeys() []string {
	long := strings.Repeat("k", 254)
	keys := []string{
		long + "1", long + "2", long, strings.Repeat("K", 254) + "1",
		"k", "K", "key", "Key", "KEY",
		".", "..", "...", "../k", "../../k", "./k", "k/", "/k", "k//k", "k/k", `k\k`, `..\k`, "k.", "k.json", "k.lock", "k.tmp", "~", "~/k", "-k", "--k",
		"con", "CON", "nul", "NUL", "nul.json", "com1", "aux", "k:k", "C:", "k*", "k?", "k<k", "k>k", "k|k", "#k", "k#", "$k", "${k}", "`k`",
		"%", "%%", "%k", "%00", "%2e%2e", "%6b", "k%20k", "k+k", "_", "k_", "_k", "__", "'", "''", `"`, `""`, `\`, `\\`, `\0`, "k'", "k';--", "--", "/*", "k;", "(k)", "[k]", "{k}", "@k", "!k", "k,k", "k=k", "k&k", "^k",
		"null", "NULL", "nil", "0", "00", "0x0", "1e1", "10", "-0", "true", "*",
	}
	for r := '!'; r <= '~'; r++ {
		keys = append(keys, string(r))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func distinctKeys(c *check) {
	keys := nastyKeys()
	for _, key := range keys {
		err := c.store.Update(c.Context(), key, func(ctx context.Context, old []byte) ([]byte, error) {
			if len(old) > 0 {
				c.Errorf("key %.60q, which is new, has the record of key %s", key, shown(old))
			}
			return []byte(key), nil
		})
		if err != nil {
			c.Fatalf("Update(%.60q) = %v", key, err)
		}
	}
	for _, key := range keys {
		if got, err := c.store.Load(c.Context(), key); err != nil || string(got) != key {
			c.Errorf("Load(%.60q) = %s, %v; want the record of that key", key, shown(got), err)
		}
	}
	for i, key := range keys {
		if i%2 == 0 {
			c.delete(key)
		}
	}
	for i, key := range keys {
		if i%2 == 1 {
			c.want(key, key)
		}
	}
}

func listKeys(c *check) {
	if got, err := c.keys(); errors.Is(err, errors.ErrUnsupported) {
		c.Skip("the store has no method Keys")
	} else if err != nil || len(got) > 0 {
		c.Errorf("Keys of a new store = %q, %v; want none", got, err)
	}
	want := []string{"A", "a", "alice@example.com", "b/../c", "con", strings.Repeat("L", 255), strings.Repeat("l", 255)}
	slices.Sort(want)
	for _, key := range append(want, "deleted") {
		c.put(key, "x")
		c.put(key, "xx")
	}
	c.delete("deleted")
	for _, err := range []error{tokenstore.ErrUnchanged, errors.New("error of the function")} {
		c.store.Update(c.Context(), "failed", func(context.Context, []byte) ([]byte, error) { return nil, err })
	}
	got, err := c.keys()
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		c.Errorf("Keys = %q, %v; want %q", got, err, want)
	}
	for range tokenstore.Keys(c.Context(), c.store) {
		break
	}
}

// keys returns what Keys gives before an error, and that.
func (c *check) keys() (keys []string, err error) {
	for key, err := range tokenstore.Keys(c.Context(), c.store) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

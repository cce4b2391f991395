package main

import (
	"strings"
	"testing"
)

// What was typed wrongly is said at once, and how it should be; and no password is
// shown.
func TestFlags_say_what_is_wrong(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-store oracle", "want dir, sqlite, postgres, mariadb or redis"},
		{"-store postgres", "such as postgres://"},
		{"-store mariadb", "such as user:password@tcp("},
		{"-store redis", "such as redis://"},
		{"-store redis -dsn http://u:pa55word@127.0.0.1", "such as redis://"},
		{"-store redis -dsn redis://u:pa55word@127.0.0.1:port", "such as redis://"},
		{"-store redis -dsn redis://u:pa55word@127.0.0.1:1", "Redis can't be used"},
		{"-store postgres -dsn postgres://u:pa55word@127.0.0.1:1/d", "PostgreSQL can't be used"},
		{"-store postgres -dsn postgres://u:pa55word@127.0.0.1:port/d", "PostgreSQL can't be used"},
		{"-store mariadb -dsn u:pa55word@127.0.0.1:1", "such as user:password@tcp("},
		{"-store mariadb -dsn u:pa55word@tcp(127.0.0.1:1)/d", "MariaDB can't be used"},
		{"-store sqlite -dsn file:sessions?mode=ro", "the name of a file"},
		{"-store sqlite -dsn /no/such/directory/sessions", "an SQLite file can't be used"},
		{"more", "flags only"},
	} {
		t.Run(test.args, func(t *testing.T) {
			p, _, err := parse(strings.Fields(test.args))
			if err == nil {
				err = p.prepare(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "pa55word") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

package tokenstore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/freshet-go/freshet/tokenstore"
)

func TestRule067_persisted_times(t *testing.T) {
	kathmandu, err := time.LoadLocation("Asia/Kathmandu")
	if err != nil {
		t.Fatal(err)
	}
	utc := time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)
	tests := []struct {
		name string
		time time.Time
		want string // in the encoding; "" for none
	}{
		{"unknown", time.Time{}, ""},
		{"unknown, elsewhere", time.Time{}.In(kathmandu), ""},
		{"UTC", utc, "2026-03-01T12:30:15Z"},
		{"part of a second", utc.Add(999_999_999), "2026-03-01T12:30:15.999Z"},
		{"Kathmandu", utc.In(kathmandu), "2026-03-01T12:30:15Z"},
		{"Kathmandu before it had minutes", time.Date(1900, 1, 1, 0, 0, 0, 0, kathmandu), "1899-12-31T18:18:44Z"},
		{"before 1970, part of a second", time.Unix(-1, 1), "1969-12-31T23:59:59Z"},
		{"more than 32 bits", time.Unix(1<<32, 0), "2106-02-07T06:28:16Z"},
		{"the last", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "9999-12-31T23:59:59Z"},
		{"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "9999-12-31T23:59:59Z"},
		{"year 10000 elsewhere only", time.Date(10000, 1, 1, 2, 0, 0, 0, kathmandu), "9999-12-31T20:15:00Z"},
		{"year 290 million", time.Unix(1<<53, 0), "9999-12-31T23:59:59Z"},
		{"year 0", time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC), "0001-01-01T00:00:01Z"},
		{"year -5000", time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), "0001-01-01T00:00:01Z"},
		{"year 1, not unknown", time.Time{}.Add(1), "0001-01-01T00:00:01Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tokenstore.Record{Session: tokenstore.NewSessionID(""), RefreshExpiry: tt.time}
			r.SetToken(tokenstore.AccessToken{Token: tokenstore.NewSecret("at"), Issued: tt.time, Expiry: tt.time})
			b, err := r.Encode()
			if err != nil {
				t.Fatalf("Encode: %v", err)
			}
			n := 3
			if tt.want == "" {
				n = 0
			}
			if got := strings.Count(string(b), `"`+tt.want+`"`); tt.want != "" && got != n || strings.Count(string(b), "Z\"") != n {
				t.Errorf("Encode = %s, want %q three times", b, tt.want)
			}
			got, err := tokenstore.DecodeRecord(b)
			if err != nil {
				t.Fatalf("DecodeRecord: %v", err)
			}
			want, _ := time.Parse(time.RFC3339, tt.want) // the zero time for ""
			for _, got := range []time.Time{got.RefreshExpiry, got.Access[0].Issued, got.Access[0].Expiry} {
				if !got.Equal(want) || got.Location() != time.UTC || got.IsZero() != tt.time.IsZero() {
					t.Errorf("decoded %v, want %v", got, want)
				}
			}
		})
	}
	r := tokenstore.Record{Session: tokenstore.NewSessionID("")}
	for _, seconds := range []int64{-1 << 63, -1 << 62, 1 << 62, 1<<63 - 1} {
		r.RefreshExpiry = time.Unix(seconds, 0)
		if _, err := r.Encode(); err != nil {
			t.Errorf("Encode with %d s since 1970: %v", seconds, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	good, err := full().Encode()
	if err != nil {
		f.Fatal(err)
	}
	session := `"session":"0000019ca8d1d0d800112233aabbccdd","generation":0`
	for _, seed := range []string{
		string(good), "", "null", "{}", "[]", `{"v":1}`, `{"v":1,` + session + `}`, `{"V":1,` + session + `}`,
		`{"v":1,` + session + `,"refresh_expiry":"9999-12-31T23:59:59-23:59"}`,
		`{"v":1,` + session + `,"refresh_expiry":"0000-01-01T00:00:00.5+05:45"}`,
		`{"v":1,` + session + `,"refresh_expiry":"0001-01-01T00:00:00Z"}`,
		`{"v":1,` + session + `,"access":[{"target":"b","token":"t","generation":1},{"token":"","generation":2}]}`,
		`{"v":1,` + session + `,"access":[{"token":"a","generation":1}],"access":[{"type":"x"}]}`,
		`{"v":1,` + session + `,"extra":{"a": 1.50 ,"b":null,"c":"<\u2028\ud800"}}`,
		`{"v":1,` + session + `,"account":"\ud800` + "\xff" + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := tokenstore.DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, tokenstore.ErrCorrupt) {
				t.Errorf("DecodeRecord = %v, want ErrCorrupt", err)
			}
			if text := err.Error(); len(text) > 200 || len(b) > 12 && strings.Contains(text, string(b)) {
				t.Errorf("the error shows the record: %s", text)
			}
			return
		}
		encoded, err := r.Encode()
		if errors.Is(err, tokenstore.ErrTooLarge) && len(b) > tokenstore.MaxRecord/6 {
			return // escapes are up to six times longer
		}
		if err != nil {
			t.Fatalf("a record that was decoded can't be encoded: %v", err)
		}
		r2, err := tokenstore.DecodeRecord(encoded)
		if err != nil {
			t.Fatalf("a record that was encoded can't be decoded: %v\n%s", err, encoded)
		}
		if r.Newer(&r2) || r2.Newer(&r) {
			t.Error("encoding changes the rank of the record")
		}
		if again, err := r2.Encode(); err != nil || !bytes.Equal(again, encoded) {
			t.Errorf("encoded again: %v\n%s\n%s", err, encoded, again)
		}
	})
}

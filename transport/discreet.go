package transport

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
)

// A discreet store is a store whose errors show no secret. Databases quote the
// statement that failed with everything that was to be written, and the errors of
// stores are logged.
type discreet struct{ tokenstore.Store }

func (d discreet) Load(ctx context.Context, key string) ([]byte, error) {
	record, err := d.Store.Load(ctx, key)
	return record, withhold(err, nil)
}

func (d discreet) Update(ctx context.Context, key string, next func(context.Context, []byte) ([]byte, error)) error {
	var records [][]byte
	err := d.Store.Update(ctx, key, func(ctx context.Context, old []byte) ([]byte, error) {
		made, err := next(ctx, old)
		records = [][]byte{old, made}
		return made, err
	})
	return withhold(err, records)
}

func (d discreet) Delete(ctx context.Context, key string) error {
	return withhold(d.Store.Delete(ctx, key), nil)
}

// withhold returns err, or in its place an error that shows nothing, if the text
// of err has a record in it, or a secret of one of these.
func withhold(err error, records [][]byte) error {
	if err == nil {
		return nil
	}
	known := []string{inEveryRecord}
	for _, record := range records {
		known = append(known, forms(record)...)
	}
	for _, text := range readings(err.Error()) {
		for _, form := range known {
			if strings.Contains(text, strings.ToLower(form)) {
				return withheldError{&err}
			}
		}
	}
	return err
}

// readings returns text in lower case: as it is, without backslashes, and as what
// it stands for if it quotes a URL.
func readings(text string) []string {
	list := []string{text, strings.ReplaceAll(text, `\`, "")}
	for _, unescape := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if plain, err := unescape(text); err == nil {
			list = append(list, plain)
		}
	}
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
	return list
}

// inEveryRecord is how a record is known that could not be read.
const inEveryRecord = `"session":"`

// shortestKnown is the length from which on a token is looked for: a shorter one
// may be in any text.
const shortestKnown = 8

// base64Group is so much of a record that its base64 has no padding.
const base64Group = 48

// forms returns the texts by which a record is known: its tokens, as they are and
// as fmt prints bytes, and its beginning in base64.
func forms(record []byte) (list []string) {
	rec, err := tokenstore.DecodeRecord(record)
	if err != nil {
		return nil
	}
	secrets := []tokenstore.Secret{rec.RefreshToken, rec.IDToken, rec.DPoPKey}
	for _, t := range rec.Access {
		secrets = append(secrets, t.Token)
	}
	for _, s := range secrets {
		if text := s.Reveal(); len(text) >= shortestKnown {
			list = append(list, text, hex.EncodeToString([]byte(text)), strings.Trim(fmt.Sprint([]byte(text)), "[]"))
		}
	}
	return append(list, base64.StdEncoding.EncodeToString(record[:min(len(record), base64Group)]))
}

// A withheldError stands for an error of a store that would show a secret. It is
// found by errors.Is and errors.As as that one is, and not by errors.Unwrap.
type withheldError struct {
	err *error // a pointer, because fmt reads the unexported fields of others
}

func (e withheldError) Error() string {
	return fmt.Sprintf("the store failed; its error (%T) quotes a secret of the record and is not shown", *e.err)
}

// Format prints what Error returns, for every verb.
func (e withheldError) Format(f fmt.State, _ rune) { io.WriteString(f, e.Error()) }

func (e withheldError) Is(target error) bool { return errors.Is(*e.err, target) }

func (e withheldError) As(target any) bool { return errors.As(*e.err, target) }

package tokenstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// formatVersion is the version of the encoding. Records of every version that
// was ever released are read for ever; testdata has one of each.
const formatVersion = 1

// wireRecord is the encoding of a Record.
type wireRecord struct {
	Version       int                        `json:"v"`
	Issuer        string                     `json:"issuer,omitempty"`
	ClientID      string                     `json:"client_id,omitempty"`
	Account       string                     `json:"account,omitempty"`
	Session       string                     `json:"session"`
	Generation    uint64                     `json:"generation"`
	Ended         bool                       `json:"ended,omitempty"`
	RefreshToken  string                     `json:"refresh_token,omitempty"`
	RefreshExpiry wireTime                   `json:"refresh_expiry,omitzero"`
	IDToken       string                     `json:"id_token,omitempty"`
	Scope         string                     `json:"scope,omitempty"`
	Access        []wireToken                `json:"access,omitempty"`
	Extra         map[string]json.RawMessage `json:"extra,omitempty"`
	DPoPKey       string                     `json:"dpop_key,omitempty"`
	Seed          string                     `json:"seed,omitempty"`
}

type wireToken struct {
	Target     string   `json:"target,omitempty"`
	Token      string   `json:"token"`
	Type       string   `json:"type,omitempty"`
	Issued     wireTime `json:"issued,omitzero"`
	Expiry     wireTime `json:"expiry,omitzero"`
	Scope      string   `json:"scope,omitempty"`
	Generation uint64   `json:"generation"`
}

// Encode returns the record as bytes for a [Store]: JSON with a format version,
// times in UTC to the millisecond and between the years 1 and 9999. It is an error if
// the record would be refused by [DecodeRecord], or has more bytes than a [Sealed]
// takes, 128 less than [MaxRecord] ([ErrTooLarge]).
func (r Record) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	w := wireRecord{
		Version: formatVersion, Issuer: r.Issuer, ClientID: r.ClientID, Account: r.Account,
		Session: r.Session, Generation: r.Generation, Ended: r.Ended,
		RefreshToken: r.RefreshToken.Reveal(), RefreshExpiry: wireTime(r.RefreshExpiry),
		IDToken: r.IDToken.Reveal(), Scope: r.Scope, DPoPKey: r.DPoPKey.Reveal(), Seed: r.Seed,
	}
	for _, t := range r.Access {
		w.Access = append(w.Access, wireToken{t.Target, t.Token.Reveal(), t.Type, wireTime(t.Issued), wireTime(t.Expiry), t.Scope, t.Generation})
	}
	for name, value := range r.Extra {
		if w.Extra == nil {
			w.Extra = make(map[string]json.RawMessage, len(r.Extra))
		}
		w.Extra[name] = json.RawMessage(value.Reveal())
	}
	b, err := marshal(w)
	if err != nil { // an Extra that is not JSON; the text of err may quote it
		return nil, errors.New("tokenstore: record can't be encoded: a member of Extra is not JSON")
	}
	if len(b) > MaxRecord-sealedRoom {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(b))
	}
	return b, nil
}

// marshal leaves <, > and & as they are, so that what could be read can be written
// again in no more bytes.
func marshal(w wireRecord) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(w)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// DecodeRecord returns the record that was encoded as b. Every error is
// [ErrCorrupt] and shows nothing of b.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	w, flaw := unmarshal(b)
	if flaw != "" {
		if v := versionOf(b); v > formatVersion {
			return Record{}, fmt.Errorf("%w: format %d, and this program reads %d", ErrVersion, v, formatVersion)
		}
		return Record{}, corrupt(b, flaw)
	}
	r := Record{
		Issuer: w.Issuer, ClientID: w.ClientID, Account: w.Account,
		Session: w.Session, Generation: w.Generation, Ended: w.Ended,
		RefreshToken: NewSecret(w.RefreshToken), RefreshExpiry: time.Time(w.RefreshExpiry),
		IDToken: NewSecret(w.IDToken), Scope: w.Scope, DPoPKey: NewSecret(w.DPoPKey), Seed: w.Seed,
	}
	for _, t := range w.Access {
		r.SetToken(AccessToken{t.Target, NewSecret(t.Token), t.Type, time.Time(t.Issued), time.Time(t.Expiry), t.Scope, t.Generation})
	}
	for name, value := range w.Extra {
		if r.Extra == nil {
			r.Extra = make(map[string]Secret, len(w.Extra))
		}
		r.Extra[name] = NewSecret(string(value))
	}
	if err := r.check(); err != nil || len(r.Access) != len(w.Access) {
		return Record{}, corrupt(b, "a member has a value that no record has")
	}
	return r, nil
}

// unmarshal says what keeps b from being an encoding of formatVersion.
func unmarshal(b []byte) (w wireRecord, flaw string) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return w, "not the JSON of a record"
	}
	if _, err := dec.Token(); err != io.EOF {
		return w, "something follows the record"
	}
	if w.Version != formatVersion {
		return w, "no version of a record"
	}
	return w, ""
}

// versionOf returns the format version of b, if that is what b is, whatever else
// is in it.
func versionOf(b []byte) int {
	var w struct {
		Version int `json:"v"`
	}
	if json.Unmarshal(b, &w) != nil {
		return 0
	}
	return w.Version
}

func corrupt(b []byte, what string) error {
	return fmt.Errorf("%w: %s (%d bytes)", ErrCorrupt, what, len(b))
}

// maxGeneration is far above any generation that is reached by counting, and far
// below the one after which counting starts again.
const maxGeneration = 1 << 62

// check says what keeps r from being a record.
func (r *Record) check() error {
	switch {
	case !validSession(r.Session):
		return errors.New("tokenstore: record without a session id; NewSessionID draws one")
	case r.Generation > maxGeneration:
		return errors.New("tokenstore: record with an impossible generation")
	}
	if err := CheckToken(r.RefreshToken.Reveal()); err != nil {
		return fmt.Errorf("refresh token: %w", err)
	}
	targets := make(map[string]bool, len(r.Access))
	for _, t := range r.Access {
		if err := CheckToken(t.Token.Reveal()); err != nil {
			return fmt.Errorf("access token: %w", err)
		}
		if targets[t.Target] || !utf8.ValidString(t.Target) {
			return errors.New("tokenstore: record with two access tokens for one target, or a target that is not UTF-8")
		}
		targets[t.Target] = true
	}
	return nil
}

// MarshalJSON is an error that names [Record.Encode].
func (r Record) MarshalJSON() ([]byte, error) {
	return nil, errors.New("tokenstore: a Record holds secrets; use Record.Encode")
}

// UnmarshalJSON is an error that names [DecodeRecord].
func (r *Record) UnmarshalJSON([]byte) error {
	return errors.New("tokenstore: use DecodeRecord")
}

// GobEncode is an error that names [Record.Encode].
func (r Record) GobEncode() ([]byte, error) { return r.MarshalJSON() }

// wireTime is a time as it is written: UTC, whole milliseconds, years 1 to 9999.
type wireTime time.Time

func (t wireTime) IsZero() bool { return time.Time(t).IsZero() }

var (
	firstTime = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) // the second before is the zero time
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

func (t wireTime) clamp() time.Time {
	u := time.Time(t)
	switch {
	case u.Before(firstTime):
		return firstTime
	case u.After(lastTime):
		return lastTime
	}
	return time.UnixMilli(u.UnixMilli()).UTC()
}

func (t wireTime) MarshalText() ([]byte, error) {
	return t.clamp().AppendFormat(nil, "2006-01-02T15:04:05.999Z07:00"), nil
}

func (t *wireTime) UnmarshalText(b []byte) error {
	u, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return err
	}
	*t = wireTime(wireTime(u).clamp())
	return nil
}

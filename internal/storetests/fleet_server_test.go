//go:build unix

package storetests_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/freshet-go/freshet/internal/testserver"
	"github.com/freshet-go/freshet/tokenstore"
)

// answer is what the token endpoint does with a refresh of the fleet: what it
// always does, with what befalls the one who asked before that or after it.
func (f *fleet) answer(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	by, sent := r.Header.Get(workerHeader), r.PostForm.Get("refresh_token")
	now := time.Now()
	stored, err := f.stored()
	if err != nil {
		f.Errorf("the store at a refresh of %s: %v", by, err)
		return
	}
	f.judgeSent(by, sent, now, stored)
	what, p := f.fateOf(by)
	if p != nil && !what.after {
		f.befall(p, what)
		testserver.Drop()(w, r, next)
	}
	answer := httptest.NewRecorder()
	next(answer, r)
	f.note(by, sent, now, stored, answer.Body.Bytes())
	if p != nil {
		f.befall(p, what)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// stored returns what is in the store, or the zero Record.
func (f *fleet) stored() (rec tokenstore.Record, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	f.mu.Lock()
	key := f.key
	f.mu.Unlock()
	b, err := f.store.Load(ctx, key)
	if errors.Is(err, tokenstore.ErrNotFound) {
		return rec, nil
	}
	if err != nil {
		return rec, err
	}
	return tokenstore.DecodeRecord(b)
}

// judgeSent checks a refresh against what is stored when it comes: what is sent is
// what is stored, and nobody refreshes a token before its time.
func (f *fleet) judgeSent(by, sent string, now time.Time, stored tokenstore.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wasHit(by, now) {
		return // it was sent before that, and comes late
	}
	if stored.RefreshToken.Reveal() != sent {
		f.Errorf("%s sends another refresh token than the one that is stored", by)
	}
	tok, found := stored.Token("")
	if at := tok.Expiry.Add(-tok.Expiry.Sub(tok.Issued) / 4); found && now.Before(at) {
		f.Errorf("%s refreshes a token %s before it is due", by, at.Sub(now))
	}
}

// note keeps book of what the server answered.
func (f *fleet) note(by, sent string, now time.Time, stored tokenstore.Record, answer []byte) {
	var said struct {
		Error        string `json:"error"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		f.Errorf("the answer of the server: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	login := f.begun[sent]
	if said.Error == "" {
		f.spent[sent] = exchanged{by, now, said.AccessToken}
		f.begun[said.RefreshToken] = login
		return
	}
	f.count.refused++
	if !f.over[login] {
		f.over[login] = true
		f.lose(by, sent, stored)
		f.lost <- struct{}{}
	}
}

// lose judges the loss of a session. It is excused if who spent the refresh token
// was killed or stopped when it had not yet saved what came: nothing of that is
// stored, and nobody has used it. And if it was sent by one that was then killed or
// stopped, so that it came late.
func (f *fleet) lose(by, sent string, stored tokenstore.Record) {
	x, found := f.spent[sent]
	switch {
	case f.wasHit(by, time.Now()):
		f.count.excused++
		return
	case !found:
		f.Errorf("%s is refused a refresh token that nobody has spent", by)
	case !f.wasHit(x.by, x.at):
		f.Errorf("%s sends what %s has spent, to which nothing had happened", by, x.by)
	case stored.RefreshToken.Reveal() != sent:
		f.Errorf("%s sends what %s has spent, and something else is stored", by, x.by)
	case f.used(x.accessToken):
		f.Errorf("%s sends what %s has spent, and what came for it was used already", by, x.by)
	default:
		f.count.excused++
		return
	}
	f.count.lost++
}

// used reports whether the API has seen that token.
func (f *fleet) used(token string) bool {
	return len(f.server.Log().Select(func(e testserver.Entry) bool {
		return e.Endpoint == testserver.API && e.AccessToken == token
	})) > 0
}

package tokenstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

func TestFuncsWithoutClosures(t *testing.T) {
	var f tokenstore.Funcs
	_, err := f.Load(t.Context(), "k")
	errs := map[string]error{
		"LoadFunc":   err,
		"SaveFunc":   f.Update(t.Context(), "k", neverNext(t)),
		"DeleteFunc": f.Delete(t.Context(), "k"),
	}
	f.SaveFunc = func(context.Context, string, []byte) error { return nil }
	if err := f.Update(t.Context(), "k", neverNext(t)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Update without LoadFunc = %v", err)
	}
	for name, err := range errs {
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestFuncsRetriesSave(t *testing.T) {
	errDown := errors.New("down")
	seconds := func(s ...float64) (d []time.Duration) {
		for _, s := range s {
			d = append(d, time.Duration(s*float64(time.Second)))
		}
		return d
	}
	tests := []struct {
		name    string
		timeout time.Duration // of Update; next takes a second
		heals   int           // the try that succeeds
		with    error
		tries   []time.Duration // after next
		want    error
	}{
		{"at once", time.Minute, 1, errDown, seconds(0), nil},
		{"heals", time.Minute, 8, errDown, seconds(0, .1, .3, .7, 1.5, 3.1, 6.3, 11.3), nil},
		{"context over", 2 * time.Second, 9, errDown, seconds(0, .1, .3, .7), context.DeadlineExceeded},
		{"context over before", time.Second / 2, 9, errDown, seconds(0), errDown},
		{"context over before, and saved", time.Second / 2, 1, errDown, seconds(0), nil},
		{"exclusion lost", time.Minute, 9, tokenstore.ErrConflict, seconds(0), tokenstore.ErrConflict},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFuncs()
				save := f.SaveFunc
				var asked time.Time
				var tries []time.Duration
				f.SaveFunc = func(ctx context.Context, key string, record []byte) error {
					tries = append(tries, time.Since(asked))
					if ctx.Err() != nil || string(record) != "new" {
						t.Errorf("try %d: context %v, record %q", len(tries), ctx.Err(), record)
					}
					if len(tries) < tt.heals {
						clear(record) // as one does that encrypts in place
						return tt.with
					}
					return save(ctx, key, record)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				err := f.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) {
					time.Sleep(time.Second)
					asked = time.Now()
					return []byte("new"), nil
				})
				if !errors.Is(err, tt.want) {
					t.Errorf("Update = %v, want %v", err, tt.want)
				}
				if !slices.Equal(tries, tt.tries) {
					t.Errorf("tries after %v, want %v", tries, tt.tries)
				}
				if err == nil {
					wantRecord(t, f, "k", "new")
				}
			})
		})
	}
}

// A SaveFunc that hangs is cut off and tried again, the exclusion held.
func TestFuncsSaveHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFuncs()
		save := f.SaveFunc
		var tries []context.Context
		f.SaveFunc = func(ctx context.Context, key string, record []byte) error {
			if tries = append(tries, ctx); len(tries) == 1 {
				began := time.Now()
				<-ctx.Done()
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("it was cut off after %v, want 10 seconds", took)
				}
				return ctx.Err()
			}
			return save(ctx, key, record)
		}
		mustPut(t, f, "k", "new")
		if len(tries) != 2 || tries[1].Err() == nil {
			t.Errorf("%d tries, want two, whose contexts are over", len(tries))
		}
		wantRecord(t, f, "k", "new")
	})
}

func TestFuncsPanicFreesKey(t *testing.T) {
	for _, where := range []string{"LoadFunc", "SaveFunc"} {
		f := newFuncs()
		load, save, bad := f.LoadFunc, f.SaveFunc, where
		boom := func(name string) {
			if name == bad {
				panic("boom")
			}
		}
		f.LoadFunc = func(ctx context.Context, key string) ([]byte, error) { boom("LoadFunc"); return load(ctx, key) }
		f.SaveFunc = func(ctx context.Context, key string, b []byte) error { boom("SaveFunc"); return save(ctx, key, b) }
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the panic of %s did not reach the caller", where)
				}
			}()
			f.Update(t.Context(), "k", put("x"))
		}()
		bad = ""
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := f.Update(ctx, "k", put("x")); err != nil {
			t.Errorf("Update after a panic of %s: %v", where, err)
		}
		cancel()
	}
}

func TestFuncsLoadErrors(t *testing.T) {
	errDown := errors.New("down")
	f := newFuncs()
	f.LoadFunc = func(context.Context, string) ([]byte, error) { return nil, errDown }
	if err := f.Update(t.Context(), "k", neverNext(t)); err != errDown {
		t.Errorf("Update = %v, want the error of LoadFunc", err)
	}
	f.LoadFunc = func(context.Context, string) ([]byte, error) { return make([]byte, tokenstore.MaxRecord+1), nil }
	if err := f.Update(t.Context(), "k", neverNext(t)); !errors.Is(err, tokenstore.ErrCorrupt) {
		t.Errorf("Update of a record too large = %v, want ErrCorrupt", err)
	}
}

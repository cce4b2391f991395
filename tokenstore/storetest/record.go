package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/freshet-go/freshet/tokenstore"
)

// recordCases are about what is kept, with nobody else at work.
var recordCases = []testCase{{
	name: "not-found",
	rule: "Load returns an error that Is tokenstore.ErrNotFound where there is no record, be it that there never was one or that it was deleted. " +
		"An error of the database's own, such as sql.ErrNoRows, looks like an outage, and no error like a record.",
	run: notFound,
}, {
	name: "load-after-update",
	rule: "Once Update has returned nil, Load returns what it wrote, all of it and nothing else. " +
		"A shorter record that is written over a longer one must not keep its tail.",
	run: loadAfterUpdate,
}, {
	name: "old",
	rule: "Update gives its function the record that is stored, and nil where there is none: nil is how a program knows that it has to log in.",
	run:  oldRecord,
}, {
	name: "empty-record",
	rule: "An empty record is a record: Load finds it, and Update gives it to its function as a slice that is empty and not nil. " +
		"A nil slice from the function is an empty record too. Drivers of databases write a nil slice as NULL.",
	run: emptyRecord,
}, {
	name: "error-of-next",
	rule: "When its function returns an error, Update returns that very error (==) and changes nothing: what came with the error is not written, " +
		"and where there was no record there is none. A row that was made so that it could be locked has to go again.",
	run: errorOfNext,
}, {
	name: "once",
	rule: "Update calls its function once: it may send a refresh token, which must not be sent again. " +
		"A transaction that the database wants to be run again, as after a serialization failure, is given up with tokenstore.ErrConflict.",
	run: once,
}, {
	name: "unchanged",
	rule: "When its function returns tokenstore.ErrUnchanged, Update writes nothing and returns nil.",
	run:  unchanged,
}, {
	name: "max-record",
	rule: "A record may have tokenstore.MaxRecord bytes, or as many as Config.MaxRecord says, and comes back whole. " +
		"Columns and values that are too small for it cut it, or refuse it: in MySQL a BLOB ends at 64 KiB.",
	run: maxRecord,
}, {
	name: "too-large",
	rule: "A record that is larger than the store takes is an error that Is tokenstore.ErrTooLarge, and the old one stays.",
	run:  tooLarge,
}, {
	name: "bytes",
	rule: "A record is bytes, and any bytes come back as they were. Columns and formats for text change zeros, spaces at the end, line ends and what is not UTF-8.",
	run:  anyBytes,
}, {
	name: "copies",
	rule: "What Load returns, what Update gives its function and what that returns belong to the caller, who may write to them at any time. " +
		"The store keeps copies, and no buffers that it uses again.",
	run: copies,
}, {
	name: "delete",
	rule: "Delete removes the record under its key and no other, and is no error where there is none, so that a logout can be tried again.",
	run:  deleteRecord,
}}

func notFound(c *check) {
	c.put("other", "x")
	c.put("gone", "x")
	c.delete("gone")
	for _, key := range []string{"never", "gone"} {
		got, err := c.store.Load(c.Context(), key)
		if key == "gone" && err == nil {
			continue // the case "delete" is about that
		}
		if !errors.Is(err, tokenstore.ErrNotFound) || got != nil {
			c.Errorf("Load of a key without a record (%s) = %s, %v; want nil and an error that Is tokenstore.ErrNotFound", key, shown(got), err)
		}
	}
}

func loadAfterUpdate(c *check) {
	for _, record := range []string{"one", "a longer one", "1", strings.Repeat("long ", 99) + "end", "one"} {
		c.put("k", record)
		c.want("k", record)
		c.want("k", record) // reading does not change it
	}
}

func oldRecord(c *check) {
	wantOld := func(want []byte) {
		c.Helper()
		err := c.store.Update(c.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
			if (old == nil) != (want == nil) || string(old) != string(want) {
				c.Errorf("the function got %s, want %s", shown(old), shown(want))
			}
			return []byte("one"), nil
		})
		if err != nil {
			c.Fatalf("Update = %v", err)
		}
	}
	wantOld(nil)
	wantOld([]byte("one"))
	c.put("k", "two, longer")
	wantOld([]byte("two, longer"))
	if err := c.store.Delete(c.Context(), "k"); err == nil {
		if _, err := c.store.Load(c.Context(), "k"); err != nil {
			wantOld(nil)
		}
	}
}

func emptyRecord(c *check) {
	for key, empty := range map[string][]byte{"empty": {}, "nil": nil} {
		err := c.store.Update(c.Context(), key, func(context.Context, []byte) ([]byte, error) { return empty, nil })
		if err != nil {
			c.Errorf("Update with a record that is %s = %v, want nil", key, err)
			continue
		}
		if got, err := c.store.Load(c.Context(), key); err != nil || len(got) != 0 {
			c.Errorf("Load of a record that is %s = %s, %v; want an empty one", key, shown(got), err)
		}
		err = c.store.Update(c.Context(), key, func(_ context.Context, old []byte) ([]byte, error) {
			if old == nil || len(old) != 0 {
				c.Errorf("the function got %s for a record that is %s, want a slice that is empty and not nil", shown(old), key)
			}
			return nil, tokenstore.ErrUnchanged
		})
		if err != nil {
			c.Errorf("Update of an empty record = %v", err)
		}
	}
}

func errorOfNext(c *check) {
	mine := errors.New("error of the function")
	fail := func(context.Context, []byte) ([]byte, error) { return []byte("came with an error"), mine }
	c.put("k", "old")
	for _, key := range []string{"k", "none"} {
		if err := c.store.Update(c.Context(), key, fail); err != mine {
			c.Errorf("Update = %v, want the error of its function itself, and not wrapped", err)
		}
	}
	c.want("k", "old")
	c.wantNone("none")
	err := c.store.Update(c.Context(), "none", func(_ context.Context, old []byte) ([]byte, error) {
		if len(old) > 0 {
			c.Errorf("the function got %s after an Update that failed, want nil", shown(old))
		}
		return nil, mine
	})
	if err != mine {
		c.Errorf("Update = %v, want the error of its function itself, and not wrapped", err)
	}
}

func once(c *check) {
	for _, want := range []string{"new", "newer"} {
		calls := 0
		err := c.store.Update(c.Context(), "k", func(context.Context, []byte) ([]byte, error) {
			calls++
			return []byte(want), nil
		})
		if err != nil || calls != 1 {
			c.Errorf("Update = %v, and called its function %d times", err, calls)
		}
		c.want("k", want)
	}
}

func unchanged(c *check) {
	same := func(context.Context, []byte) ([]byte, error) {
		return []byte("came with ErrUnchanged"), tokenstore.ErrUnchanged
	}
	c.put("k", "old")
	for _, key := range []string{"k", "none"} {
		if err := c.store.Update(c.Context(), key, same); err != nil {
			c.Errorf("Update = %v, want nil for ErrUnchanged", err)
		}
	}
	c.want("k", "old")
	c.wantNone("none")
}

func maxRecord(c *check) {
	record := strings.Repeat("0123456789abcdef", c.cfg.maxRecord()/16+1)[:c.cfg.maxRecord()]
	c.put("k", record)
	c.want("k", record)
	var old []byte
	if err := c.store.Update(c.Context(), "k", see(&old)); err != nil || string(old) != record {
		c.Errorf("Update = %v, and its function got %s; want %s", err, shown(old), shown([]byte(record)))
	}
}

func tooLarge(c *check) {
	c.put("k", "old")
	for _, key := range []string{"k", "none"} {
		err := c.store.Update(c.Context(), key, give(strings.Repeat("t", c.cfg.maxRecord()+1)))
		if !errors.Is(err, tokenstore.ErrTooLarge) {
			c.Errorf("Update with %d bytes = %v, want an error that Is tokenstore.ErrTooLarge", c.cfg.maxRecord()+1, err)
		}
	}
	c.want("k", "old")
	c.wantNone("none")
}

func anyBytes(c *check) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, record := range map[string]string{
		"every":   string(every),
		"zeros":   "\x00\x00",
		"spaces":  " \t x \t ",
		"lines":   "a\r\nb\rc\n\n",
		"no-utf8": "\xff\xfe\xc3\x28\xed\xa0\x80",
		"utf8":    "\ufeffé e\u0301 \U0001f511",
		"escapes": `\x41 \\ %41 %% ' '' " \' NULL \N null`,
	} {
		c.put(name, record)
		if got, err := c.store.Load(c.Context(), name); err != nil || string(got) != record {
			c.Errorf("Load = %q, %v; want %q", got, err, record)
		}
	}
}

func copies(c *check) {
	given := []byte("one")
	err := c.store.Update(c.Context(), "k", func(context.Context, []byte) ([]byte, error) { return given, nil })
	if err != nil {
		c.Fatalf("Update = %v", err)
	}
	intact := func(what string) {
		c.Helper()
		if got, err := c.store.Load(c.Context(), "k"); err != nil || string(got) != "one" {
			c.Fatalf("after the caller wrote to %s, Load = %s, %v; want \"one\"", what, shown(got), err)
		}
	}
	given[0] = 'X'
	intact("what its function had returned")
	loaded, _ := c.store.Load(c.Context(), "k")
	loaded[0] = 'X'
	intact("what Load had returned")
	var kept []byte
	err = c.store.Update(c.Context(), "k", func(_ context.Context, old []byte) ([]byte, error) {
		kept = old
		old[0] = 'X'
		return nil, tokenstore.ErrUnchanged
	})
	if err != nil {
		c.Fatalf("Update = %v", err)
	}
	intact("what Update had given its function")
	loaded, _ = c.store.Load(c.Context(), "k")
	before := slices.Clone(loaded)
	c.put("k", "two")
	c.want("k", "two")
	if string(loaded) != string(before) || string(kept) != "Xne" {
		c.Errorf("a later Update and Load changed what earlier ones had given away: %q and %q, want %q and \"Xne\"", loaded, kept, before)
	}
}

func deleteRecord(c *check) {
	for _, key := range []string{"k", "k2"} {
		c.put(key, "record of "+key)
	}
	c.delete("never")
	for range 2 {
		c.delete("k")
		c.wantNone("k")
	}
	c.want("k2", "record of k2")
	c.put("k", "again")
	c.want("k", "again")
}

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/freshet-go/freshet/tokenstore"
)

func ExampleMemory() {
	var store tokenstore.Memory
	ctx := context.Background()
	for range 2 {
		err := store.Update(ctx, "counter", func(_ context.Context, old []byte) ([]byte, error) {
			return append(old, 'I'), nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	record, err := store.Load(ctx, "counter")
	fmt.Printf("%s %v\n", record, err)
	_, err = store.Load(ctx, "other")
	fmt.Println(errors.Is(err, tokenstore.ErrNotFound))
	// Output:
	// II <nil>
	// true
}

// Funcs makes a store of whatever a program keeps its data in, if no other
// process uses it too.
func ExampleFuncs() {
	settings := map[string]string{} // of a program with one goroutine
	store := &tokenstore.Funcs{
		LoadFunc: func(_ context.Context, key string) ([]byte, error) {
			text, found := settings["token/"+key]
			if !found {
				return nil, tokenstore.ErrNotFound
			}
			return []byte(text), nil
		},
		SaveFunc: func(_ context.Context, key string, record []byte) error {
			settings["token/"+key] = string(record)
			return nil
		},
		DeleteFunc: func(_ context.Context, key string) error {
			delete(settings, "token/"+key)
			return nil
		},
	}
	err := store.Update(context.Background(), "alice", func(_ context.Context, old []byte) ([]byte, error) {
		return []byte("record of alice"), nil
	})
	fmt.Println(settings, err)
	// Output: map[token/alice:record of alice] <nil>
}

func ExampleDir() {
	home, err := os.MkdirTemp("", "home") // instead of os.UserConfigDir
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)

	store := tokenstore.Dir(filepath.Join(home, "my-app", "tokens"))
	ctx := context.Background()
	err = store.Update(ctx, "alice@example.com", func(_ context.Context, old []byte) ([]byte, error) {
		fmt.Println("there was one:", old != nil)
		return []byte("record of alice"), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	for key, err := range store.Keys(ctx) {
		fmt.Println(key, err)
	}
	// Output:
	// there was one: false
	// alice@example.com <nil>
}

// Update is the one way to write, because a token may only be sent while nobody
// else can send it. What is loaded first and written later loses what came in
// between.
func ExampleStore_incorrect() {
	var store tokenstore.Memory
	ctx := context.Background()
	add := func(more string) func(context.Context, []byte) ([]byte, error) {
		return func(_ context.Context, old []byte) ([]byte, error) { return append(old, more...), nil }
	}
	store.Update(ctx, "k", add("a"))

	stale, _ := store.Load(ctx, "k") // don't: this is old as soon as it is read
	store.Update(ctx, "k", add("b")) // by somebody else
	store.Update(ctx, "k", func(context.Context, []byte) ([]byte, error) { return append(stale, 'c'), nil })

	record, _ := store.Load(ctx, "k")
	fmt.Printf("%s\n", record)
	// Output: ac
}

func ExampleStore_Update() {
	var store tokenstore.Store = new(tokenstore.Memory)
	refresh := func(_ context.Context, refreshToken tokenstore.Secret) (newer tokenstore.Secret, err error) {
		return tokenstore.NewSecret("rt-2"), nil // in place of the network exchange
	}
	err := store.Update(context.Background(), "alice", func(ctx context.Context, old []byte) ([]byte, error) {
		if old == nil {
			r := tokenstore.Record{Session: tokenstore.NewSessionID(""), RefreshToken: tokenstore.NewSecret("rt-1")}
			return r.Encode()
		}
		r, err := tokenstore.DecodeRecord(old)
		if err != nil {
			return nil, err
		}
		if r.RefreshToken, err = refresh(ctx, r.RefreshToken); err != nil {
			return nil, err // and the record stays as it is
		}
		r.Generation++
		return r.Encode()
	})
	fmt.Println(err)
	// Output: <nil>
}

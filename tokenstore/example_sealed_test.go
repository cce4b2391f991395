package tokenstore_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/freshet-go/freshet/tokenstore"
)

// The keys come from the environment or from a manager of secrets. The first one
// seals, the others are still there to open what they have sealed.
func ExampleSealed() {
	newest, err := tokenstore.ParseSealKey("2026-03", "vCmNUOEBVAEAWwDRMEnDdmXMjW5hDf4HB4SMDd4MJsA=")
	if err != nil {
		log.Fatal(err)
	}
	older, err := tokenstore.ParseSealKey("2025-11", "kn1cjNtLR3O9Ma9Bzp3+PwIXWbKkcrIEEvMnbbAVdQ4=")
	if err != nil {
		log.Fatal(err)
	}
	var below tokenstore.Memory // or a Dir, or a store of your own
	store, err := tokenstore.NewSealed(&below, newest, older)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	err = store.Update(ctx, "alice", func(context.Context, []byte) ([]byte, error) {
		return []byte("record of alice"), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	record, err := store.Load(ctx, "alice")
	fmt.Printf("%s %v\n", record, err)
	kept, _ := below.Load(ctx, "alice")
	header, _, _ := bytes.Cut(kept, []byte("\n"))
	fmt.Printf("%s, %d bytes\n", header, len(kept))
	fmt.Println(newest)
	// Output:
	// record of alice <nil>
	// freshet-sealed 1 2026-03, 68 bytes
	// key("2026-03" [redacted])
}

// Before a key is given up, what it has sealed is sealed anew. Sessions that are
// in use are by themselves; this does it for all of them.
func ExampleSealed_rotation() {
	older, _ := tokenstore.GenerateSealKey("2025-11")
	newest, _ := tokenstore.GenerateSealKey("2026-03")
	var below tokenstore.Memory
	ctx := context.Background()
	before, _ := tokenstore.NewSealed(&below, older)
	before.Update(ctx, "alice", func(context.Context, []byte) ([]byte, error) { return []byte("record of alice"), nil })

	both, _ := tokenstore.NewSealed(&below, newest, older)
	for key, err := range tokenstore.Keys(ctx, both) {
		if err != nil {
			log.Fatal(err)
		}
		err = both.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) {
			if old == nil {
				return nil, tokenstore.ErrUnchanged // deleted meanwhile
			}
			return old, nil
		})
		if err != nil {
			log.Fatal(err) // the record stays as it is
		}
	}

	_, err := before.Load(ctx, "alice")
	fmt.Println(err)
	after, _ := tokenstore.NewSealed(&below, newest)
	record, err := after.Load(ctx, "alice")
	fmt.Printf("%s %v\n", record, err)
	// Output:
	// tokenstore: record is sealed with key "2026-03", which is not among the keys given to NewSealed
	// record of alice <nil>
}

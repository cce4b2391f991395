package tokenstore_test

import (
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

func TestRule088_every_store_keeps_the_contract(t *testing.T) {
	sealedRecord := tokenstore.MaxRecord - 128 // the largest that a Sealed takes
	for name, cfg := range map[string]storetest.Config{
		"Memory": {Open: func(*testing.T, string) tokenstore.Store { return new(tokenstore.Memory) }},
		"Funcs":  {Open: func(*testing.T, string) tokenstore.Store { return newFuncs() }},
		"Dir": {
			Open:   func(_ *testing.T, place string) tokenstore.Store { return tokenstore.Dir(place) },
			Shared: true,
		},
		"Sealed around Memory": {
			Open:      func(t *testing.T, _ string) tokenstore.Store { return sealed(t, new(tokenstore.Memory), "a") },
			MaxRecord: sealedRecord,
		},
		"Sealed around Dir": {
			Open:      func(t *testing.T, place string) tokenstore.Store { return sealed(t, tokenstore.Dir(place), "a") },
			Shared:    true,
			MaxRecord: sealedRecord,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			storetest.Run(t, cfg)
		})
	}
}

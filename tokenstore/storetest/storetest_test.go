package storetest_test

import (
	"testing"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Config{Open: func(*testing.T, string) tokenstore.Store { return new(tokenstore.Memory) }})
}
func TestDir(t *testing.T) {
	storetest.Run(t, storetest.Config{Open: func(_ *testing.T, p string) tokenstore.Store { return tokenstore.Dir(p) }, Shared: true})
}

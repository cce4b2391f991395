package keyring_test

import (
	"context"
	"errors"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/keyring"
)

// A program on somebody's desktop keeps its sessions in the user's directory for
// settings.
func ExampleOpen() {
	dir, err := os.UserConfigDir()
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // time to enter a password
	defer cancel()
	store, err := keyring.Open(ctx, keyring.Config{
		Service: "com.example.backup",
		Store:   tokenstore.Dir(filepath.Join(dir, "backup", "tokens")),
	})
	if errors.Is(err, keyring.ErrUnavailable) {
		log.Fatalf("%v\nUnlock the keyring, or run this where there is one.", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	_ = store // is the Store of a client.Config
}

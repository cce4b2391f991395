package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"

	system "github.com/zalando/go-keyring"

	"github.com/freshet-go/freshet/tokenstore"
)

// errNotKept says that the keyring works and does not have the key.
var errNotKept = errors.New("no such key")

// get returns the text that the keyring has under service and id, errNotKept, or
// an error that is ErrUnavailable.
func get(ctx context.Context, service, id string) (string, error) {
	text, err := ask(ctx, func() (string, error) { return system.Get(service, id) })
	if errors.Is(err, system.ErrNotFound) {
		return "", errNotKept
	}
	return text, err
}

// put writes a key to the keyring, and reads it back: on some systems a keyring
// that did not take it says nothing. Every error is ErrUnavailable.
func put(ctx context.Context, service string, key tokenstore.SealKey) error {
	text := key.Reveal()
	_, err := ask(ctx, func() (string, error) {
		err := system.Set(service, key.ID(), text)
		if err != nil && strings.Contains(err.Error(), text) {
			err = errors.New("it quotes the key in its error, which is not shown")
		}
		return "", err
	})
	if err != nil {
		return err
	}
	kept, err := get(ctx, service, key.ID())
	if errors.Is(err, errNotKept) || err == nil && kept != text {
		return fmt.Errorf("%w: it did not keep the key that it was given", ErrUnavailable)
	}
	return err
}

// turn is held by the one question that is being asked: prompts would come in
// heaps otherwise, and the library confuses the answers to them.
var turn = make(chan struct{}, 1)

// ask runs a question to the keyring until it is answered or ctx is over. The
// library takes no context, so a question that is not answered keeps its
// goroutine and its turn. Every error is ErrUnavailable, but that there is no such
// key is the library's ErrNotFound.
func ask(ctx context.Context, question func() (string, error)) (string, error) {
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("%w: it has not answered an earlier question: %w", ErrUnavailable, ctx.Err())
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-turn }()
		text, err := recovered(question)
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil && !errors.Is(a.err, system.ErrNotFound) {
			return "", fmt.Errorf("%w: %w", ErrUnavailable, a.err)
		}
		return a.text, a.err
	case <-ctx.Done():
		return "", fmt.Errorf("%w: it has not answered, and may be waiting for a password: %w", ErrUnavailable, ctx.Err())
	}
}

// recovered runs a question, and makes an error of a panic: the library has one
// where the bus goes away while the user is asked.
func recovered(question func() (string, error)) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its answer could not be read: panic (%T)", p)
		}
	}()
	if err := reachable(); err != nil {
		return "", err
	}
	return question()
}

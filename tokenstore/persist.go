package tokenstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The pauses between two tries to save a record: from the first they double up
// to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// persist calls save until the record is durable, the exclusion is lost
// ([ErrConflict]) or ctx is over, but always once. The caller holds the
// exclusion all the while.
func persist(ctx context.Context, save func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := save()
		if err == nil || errors.Is(err, ErrConflict) {
			return err
		}
		if over := sleep(ctx, pause); over != nil {
			return fmt.Errorf("tokenstore: record not saved: %w (given up: %w)", err, over)
		}
	}
}

// sleep returns the error of ctx if that is over before d has passed.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return ctx.Err()
}

// result sorts out what next returned: a record that can be written, or what
// Update returns instead of writing one.
func result(record []byte, err error) (write bool, _ error) {
	switch {
	case errors.Is(err, ErrUnchanged):
		return false, nil
	case err != nil:
		return false, err
	case len(record) > MaxRecord:
		return false, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(record))
	}
	return true, nil
}

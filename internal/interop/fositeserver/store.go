package fositeserver

import (
	"context"
	"sync/atomic"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// A store is fosite's own, which can be told not to rotate.
type store struct {
	*storage.MemoryStore
	keep atomic.Bool // see Server.KeepRefreshTokens
}

func newStore() *store { return &store{MemoryStore: storage.NewMemoryStore()} }

// keepingKey is the context key of a refresh that keeps the refresh token.
type keepingKey struct{}

// decide returns the context of one token request: what is decided there holds
// for all of it.
func (s *store) decide(ctx context.Context, grant string) context.Context {
	return context.WithValue(ctx, keepingKey{}, grant == "refresh_token" && s.keep.Load())
}

func keeping(ctx context.Context) bool {
	on, _ := ctx.Value(keepingKey{}).(bool)
	return on
}

// RotateRefreshToken ends the tokens that are refreshed.
func (s *store) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	if keeping(ctx) {
		return s.RevokeAccessToken(ctx, requestID)
	}
	return s.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}

// CreateRefreshTokenSession saves a new refresh token.
func (s *store) CreateRefreshTokenSession(ctx context.Context, signature, access string, req fosite.Requester) error {
	if keeping(ctx) {
		return nil
	}
	return s.MemoryStore.CreateRefreshTokenSession(ctx, signature, access, req)
}

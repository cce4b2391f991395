package client

import (
	"crypto"
	"encoding/base64"
	"sync"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/transport"
)

// A proofKeys has the keys of a client's sessions, and what their servers want of proofs.
type proofKeys struct {
	cfg  DPoP
	own  *proofKey // of cfg.Key
	auth peers     // the token endpoint
	apis peers

	mu   sync.RWMutex
	keys map[string]*proofKey // those in use, of which records have the private half
}

func newProofKeys(cfg *DPoP) *proofKeys {
	if cfg == nil {
		return nil
	}
	k := &proofKeys{cfg: *cfg, keys: make(map[string]*proofKey)}
	if cfg.Key != nil {
		k.own, _ = cfg.newKey() // it was checked
	}
	return k
}

// maxKeys is how many keys are at hand; the others are read from their records again.
const maxKeys = 4096

// fresh returns the key of a new session. It is at hand from its first use: whoever only
// begins logins pushes no key out.
func (k *proofKeys) fresh() (*proofKey, error) {
	if k.own != nil {
		return k.own, nil
	}
	return k.cfg.newKey()
}

// of returns the key that a record has. The error is ErrKeyLost.
func (k *proofKeys) of(kept tokenstore.Secret) (*proofKey, error) {
	k.mu.RLock()
	key := k.keys[kept.Reveal()]
	k.mu.RUnlock()
	switch {
	case key != nil:
		return key, nil
	case k.own != nil && k.own.kept.Equal(kept):
		return k.own, nil
	}
	der, err := base64.StdEncoding.DecodeString(kept.Reveal())
	if err != nil {
		return nil, ErrKeyLost
	}
	signer, ok := parseDER(der).(crypto.Signer)
	if !ok {
		return nil, ErrKeyLost
	}
	alg, err := (&DPoP{Key: signer, Algorithm: k.cfg.Algorithm}).algorithm()
	if err != nil { // made when another was configured
		alg, err = (&DPoP{Key: signer}).algorithm()
	}
	if err != nil {
		return nil, ErrKeyLost
	}
	if key, err = newProofKey(signer, alg, kept.Reveal()); err != nil {
		return nil, ErrKeyLost
	}
	k.add(key)
	return key, nil
}

func (k *proofKeys) add(key *proofKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for other := range k.keys {
		if len(k.keys) < maxKeys {
			break
		}
		delete(k.keys, other)
	}
	k.keys[key.kept.Reveal()] = key
}

// keyFor returns the key with which a session proves itself whose last record is old: its
// own, or a new one where it has none yet.
func (k *proofKeys) keyFor(old *tokenstore.Record) (*proofKey, error) {
	bound := false
	for i := range old.Access {
		bound = bound || isDPoP(old.Access[i].Type)
	}
	switch {
	case !old.DPoPKey.IsZero():
		if key, err := k.of(old.DPoPKey); err == nil {
			return key, nil
		}
		return nil, keyLost()
	case bound:
		return nil, keyLost()
	}
	return k.fresh()
}

// keyLost returns ErrKeyLost as the error of a refresh.
func keyLost() error {
	return &transport.RefreshError{Kind: transport.LoginRequired, Err: ErrKeyLost}
}

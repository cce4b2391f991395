package client

import (
	"net/http"
	"sync"
	"time"
)

// A peer is what a server wants of proofs.
type peer struct {
	nonce string        // RFC 9449 §8, §9
	skew  time.Duration // how far its clock is ahead
}

// A peers has them by origin, those that were heard of last.
type peers struct {
	mu sync.RWMutex
	by map[string]peer
}

const (
	maxPeers = 1024
	maxNonce = 1024

	// maxSkew is how far clocks differ that are right: proofs are of whole seconds, and
	// an answer takes its time.
	maxSkew = 5 * time.Second
)

func (p *peers) of(origin string) peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.by[origin]
}

// learn takes the nonce and the time from an answer, of any status (RFC 9449 §8.2), and
// returns how that has the server: another answer may come meanwhile, with an older nonce.
func (p *peers) learn(origin string, header http.Header) peer {
	old := p.of(origin)
	now := old
	if nonces := header["Dpop-Nonce"]; len(nonces) == 1 && isNonce(nonces[0]) {
		now.nonce = nonces[0]
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil && header.Get("Age") == "" { // not one of a cache
		if now.skew = time.Until(date); now.skew.Abs() < maxSkew {
			now.skew = 0
		} else if (now.skew - old.skew).Abs() < maxSkew {
			now.skew = old.skew
		}
	}
	if now == old {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = make(map[string]peer)
	}
	for other := range p.by {
		if len(p.by) < maxPeers {
			break
		}
		delete(p.by, other)
	}
	p.by[origin] = now
	return now
}

// mends reports whether a proof made with p can mend an error that came to one made with
// sent.
func (p peer) mends(sent peer, code string) bool {
	switch code {
	case "use_dpop_nonce":
		return p.nonce != "" && p.nonce != sent.nonce
	case "invalid_dpop_proof":
		return p.skew != sent.skew
	}
	return false
}

// isNonce reports whether text may be a nonce (RFC 9449 §8.1: NQCHAR).
func isNonce(text string) bool {
	for _, c := range []byte(text) {
		if c < '!' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return text != "" && len(text) <= maxNonce
}

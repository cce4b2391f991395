package transport

import (
	"crypto/sha256"
	"math/rand/v2"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// How long a Source waits before it tries again what failed.
const (
	firstPause        = 500 * time.Millisecond // doubling with each failure
	maxPauseExpired   = 30 * time.Second       // while callers wait for a token
	maxPauseValid     = 5 * time.Minute        // while the last token still serves
	misconfiguredWait = 5 * time.Minute        // somebody has to correct something
	refusedWait       = time.Hour              // servers had outages that refused everybody
	unknownPause      = 5 * time.Second        // after a refresh without an answer
	maxRetryAfter     = time.Hour              // what a server may ask for
)

// A span is a stretch of wall time, which goes on while a laptop sleeps. A clock
// that is set back ends it.
type span struct {
	from   time.Time
	length time.Duration
}

func newSpan(now time.Time, length time.Duration) span { return span{now.Round(0), length} }

// left returns how much of the span is ahead of now.
func (p span) left(now time.Time) time.Duration {
	gone := now.Round(0).Sub(p.from)
	if p.length == 0 || gone < 0 {
		return 0
	}
	return max(p.length-gone, 0)
}

// A pause is kept between a refresh that failed and the next one. All callers
// share it.
type pause struct {
	failures int // since the last success
	doubts   int // Doubtful answers running
	expired  span
	valid    span
	err      *RefreshError
}

// after is the pause after one more failure; validFor is how long the token at
// hand can still be used.
func (p pause) after(re *RefreshError, validFor time.Duration, now time.Time) pause {
	known := p.err != nil && p.err.Kind == LoginRequired
	if !known || re.Kind != LoginRequired || validFor > 0 { // else only somebody asked again
		p.failures++
	}
	p.err = re
	if re.Kind == Misconfigured { // a login would not help, nor would trying
		p.expired = newSpan(now, jitter(misconfiguredWait))
		p.valid = p.expired
		return p
	}
	wait := firstPause << min(p.failures-1, 10)
	asked := min(re.RetryAfter, maxRetryAfter)
	if re.OutcomeUnknown { // the answer may still come, and the request still arrive
		asked = max(asked, unknownPause)
	}
	p.expired = newSpan(now, max(jitter(min(wait, maxPauseExpired)), asked))
	if re.Kind == LoginRequired { // every call looks whether the store has another
		p.expired = span{}
	}
	longest := max(min(maxPauseValid, validFor/4), firstPause)
	p.valid = newSpan(now, max(jitter(min(wait, longest)), asked))
	return p
}

// span is how long the pause lasts for a token of the given freshness.
func (p *pause) span(f freshness) span {
	if f == expired {
		return p.expired
	}
	return p.valid
}

// during returns the error of the failure while the pause after it lasts.
func (p *pause) during(now time.Time, f freshness) error {
	left := p.span(f).left(now)
	if left == 0 {
		return nil
	}
	re := *p.err
	re.RetryAfter = left
	return &re
}

// jitter returns d, more or less a quarter.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2+1)
}

// A refusal remembers a refresh token that the server refused, so that it is not
// sent again until something says that it might do.
type refusal struct {
	token [sha256.Size]byte // its hash
	span  span
	err   *RefreshError
}

func hashOf(s tokenstore.Secret) [sha256.Size]byte { return sha256.Sum256([]byte(s.Reveal())) }

package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-go/freshet/transport"
)

// That no goroutine is left is checked by the bubbles: they fail if one is.

// refused401 returns the 401 with that body, which the caller of a Transport gets
// when the refresh fails.
func refused401(t *testing.T, body io.ReadCloser) *http.Response {
	t.Helper()
	m := &mint{before: secondFails}
	m.revoked.Store(1)
	tr := m.over(t, baseFunc(func(req *http.Request) (*http.Response, error) { return answerTo(req, 401, body), nil }))
	resp, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 401 || transport.RefreshErrorOf(resp) == nil {
		t.Fatalf("status %d, refresh error %v; want the 401 and why", resp.StatusCode, transport.RefreshErrorOf(resp))
	}
	return resp
}

// feed returns a body that gets content in pieces of n bytes, one after each
// pause but the first, and how its feeding ends.
func feed(content []byte, n int, pause time.Duration) (body io.ReadCloser, ended <-chan error) {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		for len(content) > 0 {
			piece := content[:min(n, len(content))]
			content = content[len(piece):]
			if _, err := w.Write(piece); err != nil {
				done <- err
				return
			}
			time.Sleep(pause)
		}
		done <- w.Close()
	}()
	return r, done
}

func TestAhead_does_not_hold_back_what_has_come(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		const line = "a line of the 401\n"
		body, _ := feed(bytes.Repeat([]byte(line), 5), len(line), time.Second)
		resp := refused401(t, body)
		buf := make([]byte, 1<<10)
		for i := range 5 {
			want := time.Second
			if i == 0 {
				want = 0
			}
			wantTook(t, want, func() {
				if n, err := resp.Body.Read(buf); string(buf[:n]) != line || err != nil {
					t.Errorf("line %d is %q, %v", i, buf[:n], err)
				}
			})
		}
		if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d bytes, %v", n, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAhead_is_complete_and_in_order(t *testing.T) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200 << 10} {
		for _, pause := range []time.Duration{0, time.Millisecond} {
			bubble(t, fmt.Sprintf("%d bytes, pause %s", size, pause), func(t *testing.T) {
				content := randomBytes(size, 7)
				body, _ := feed(content, 1000, pause)
				resp := refused401(t, body)
				if got := readAll(t, resp); !bytes.Equal([]byte(got), content) {
					t.Errorf("%d bytes, want the %d that were sent", len(got), size)
				}
			})
		}
	}
}

// A caller that comes late finds the beginning there, and no more of it was read.
func TestAhead_is_bounded(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		const size = 200 << 10
		content := randomBytes(size, 8)
		r := bytes.NewReader(content)
		resp := refused401(t, io.NopCloser(r))
		synctest.Wait()
		if rest := r.Len(); rest != size-64<<10 {
			t.Errorf("%d bytes are left, want all but 64 KiB", rest)
		}
		if got := readAll(t, resp); !bytes.Equal([]byte(got), content) {
			t.Errorf("%d bytes, want the %d that were sent", len(got), size)
		}
	})
}

// A body need not say twice how it ended.
func TestAhead_keeps_the_error(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		errs := []error{io.ErrUnexpectedEOF}
		resp := refused401(t, io.NopCloser(readFunc(func([]byte) (int, error) {
			err := errs[0]
			errs = errs[1:]
			return 0, err
		})))
		for range 2 {
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.ErrUnexpectedEOF {
				t.Errorf("Read = %d, %v, want the body's error", n, err)
			}
		}
	})
}

func TestAhead_closed_while_it_reads(t *testing.T) {
	bubble(t, "nobody reads", func(t *testing.T) {
		body, ended := feed(make([]byte, 1000), 1, time.Second)
		resp := refused401(t, body)
		time.Sleep(10 * time.Second)
		wantTook(t, 0, func() {
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := <-ended; err != io.ErrClosedPipe {
			t.Errorf("the server's end saw %v, want a close", err)
		}
	})
	bubble(t, "somebody reads", func(t *testing.T) {
		body, ended := feed(make([]byte, 1000), 1, time.Minute)
		resp := refused401(t, body)
		done := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			done <- err
		}()
		time.Sleep(10 * time.Second)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		wantTook(t, 0, func() {
			if err := <-done; err != io.ErrClosedPipe {
				t.Errorf("Read = %v, want what the body says after its Close", err)
			}
		})
		<-ended
	})
	bubble(t, "the caller's context ends", func(t *testing.T) {
		body, ended := feed(make([]byte, 1000), 1, time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		m := &mint{before: func(n int64) error {
			if n > 1 {
				time.Sleep(time.Minute)
			}
			return nil
		}}
		m.revoked.Store(1)
		src := newSource(t, transport.SourceConfig{Refresh: m.refresh})
		tr := newTransport(t, transport.Config{Source: src, Base: baseFunc(func(req *http.Request) (*http.Response, error) {
			return answerTo(req, 401, body), nil
		})})
		wantTook(t, 10*time.Second, func() {
			_, err := tr.RoundTrip(request(t, "GET", "https://api.test/", nil).WithContext(ctx))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the caller's", err)
			}
		})
		if err := <-ended; err != io.ErrClosedPipe {
			t.Errorf("the server's end saw %v, want a close", err)
		}
	})
}

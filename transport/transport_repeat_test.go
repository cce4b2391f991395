package transport_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestRule030_net_http_can_repeat_the_request(t *testing.T) {
	const content = "content that is sent again"
	for _, c := range []struct {
		name   string
		script []string // what happens to one stream after the other
	}{
		{"GOAWAY", []string{"goaway", "200"}},
		{"GOAWAY after a 401", []string{"401", "goaway", "200"}},
		{"refused stream", []string{"refuse", "200"}},
		{"refused stream after a 401", []string{"401", "refuse", "200"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := newFrameServer(t, c.script)
			base := &http.Transport{Protocols: new(http.Protocols)}
			base.Protocols.SetUnencryptedHTTP2(true)
			defer base.CloseIdleConnections()
			req := request(t, "POST", srv.url, strings.NewReader(content))
			wantAnswer(t, new(mint).over(t, base), req, 200, "")
			for i, got := range srv.contents() {
				if got != content {
					t.Errorf("stream %d brought %q, want %q", i, got, content)
				}
			}
		})
	}
	t.Run("dead connection", func(t *testing.T) {
		a := new(hangup)
		srv := serve(t, a, "HTTP/1")
		tr := a.over(t, srv.Client().Transport)
		send(t, tr, request(t, "GET", srv.URL, nil))
		a.revoke()
		a.hangUp.Store(true)
		req := request(t, "POST", srv.URL, strings.NewReader(content))
		req.Header.Set("Idempotency-Key", "1") // else net/http would not repeat a POST
		wantAnswer(t, tr, req, 200, "POST "+digest(strings.NewReader(content)))
		a.wantSeen(t, "token-1", "token-1", "token-1", "token-2")
		for i, n := range a.lengths[1:] {
			if n != int64(len(content)) {
				t.Errorf("try %d announced %d bytes, want %d", i, n, len(content))
			}
		}
	})
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			a, mux := new(tokenAPI), http.NewServeMux()
			mux.Handle("/there", a)
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				if a.note(r); !a.good(r) {
					unauthorized(w)
					return
				}
				http.Redirect(w, r, "/there", status)
			})
			srv := serve(t, mux, "HTTP/1")
			a.revoked.Store(1)
			client := &http.Client{Transport: a.over(t, srv.Client().Transport)}
			resp, err := client.Post(srv.URL, "text/plain", strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := readAll(t, resp), "POST "+digest(strings.NewReader(content)); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			a.wantSeen(t, "token-1", "token-2", "token-2")
		})
	}
}

// A hangup is a tokenAPI that once breaks the connection instead of answering.
type hangup struct {
	tokenAPI
	hangUp  atomic.Bool
	lengths []int64 // the Content-Length of each request
}

func (h *hangup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.lengths = append(h.lengths, r.ContentLength)
	if h.hangUp.Swap(false) {
		h.note(r)
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
		return
	}
	h.tokenAPI.ServeHTTP(w, r)
}

// A frameServer speaks just enough HTTP/2 (RFC 9113) to fail as net/http's server
// never does.
type frameServer struct {
	url string

	mu     sync.Mutex
	script []string
	bodies []string
}

func newFrameServer(t *testing.T, script []string) *frameServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &frameServer{url: "http://" + l.Addr().String(), script: script}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *frameServer) contents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

// Frame types and flags.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoaway = 0, 1, 3, 4, 6, 7
	flagEnd, flagAck, flagEndHeaders                                           = 1, 1, 4
)

func (s *frameServer) serve(conn net.Conn) {
	defer conn.Close()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		return
	}
	writeFrame(conn, frameSettings, 0, 0, nil)
	content := ""
	for last := uint32(0); ; {
		kind, flags, stream, payload, err := readFrame(conn)
		switch {
		case err != nil:
			return
		case kind == frameSettings && flags&flagAck == 0:
			writeFrame(conn, frameSettings, flagAck, 0, nil)
		case kind == framePing && flags&flagAck == 0:
			writeFrame(conn, framePing, flagAck, 0, payload)
		case kind == frameData:
			content += string(payload)
			if flags&flagEnd != 0 {
				s.answer(conn, stream, last, content)
				content, last = "", stream
			}
		}
	}
}

// answer does to a stream what the script says; last is the stream before it.
func (s *frameServer) answer(conn net.Conn, stream, last uint32, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, content)
	what := s.script[0]
	s.script = s.script[1:]
	switch what {
	case "200":
		writeFrame(conn, frameHeaders, flagEnd|flagEndHeaders, stream, []byte{0x88}) // :status 200 (RFC 7541 appendix A)
	case "401":
		writeFrame(conn, frameHeaders, flagEnd|flagEndHeaders, stream, []byte("\x08\x03401"))
	case "refuse":
		writeFrame(conn, frameReset, 0, stream, []byte{0, 0, 0, 7}) // REFUSED_STREAM
	case "goaway":
		writeFrame(conn, frameGoaway, 0, 0, binary.BigEndian.AppendUint32(nil, last), []byte{0, 0, 0, 0}) // NO_ERROR
	}
}

func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload ...[]byte) {
	var all []byte
	for _, p := range payload {
		all = append(all, p...)
	}
	n := len(all)
	frame := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, stream)...)
	w.Write(append(frame, all...))
}

func readFrame(r io.Reader) (kind, flags byte, stream uint32, payload []byte, err error) {
	var head [9]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(r, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]), payload, err
}

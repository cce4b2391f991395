package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/freshet-go/freshet/transport"
)

// A frame is one of HTTP/2 (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return string(b) + payload
}

// Types and flags of frames (RFC 9113 §6), and fields in HPACK (RFC 7541 §6).
const (
	frameData, frameHeaders, frameReset, frameSettings  = 0, 1, 3, 4
	framePing, frameGoAway, frameWindow, frameContinued = 6, 7, 8, 9

	endHeaders = 4

	status200 = "\x88"
	status103 = "\x08\x03103" // literal, name 8 of the static table
	fieldXY   = "\x00\x01x\x01y"
)

// A flood is what a server sends over HTTP/2 once it has a request, and what it
// sends again and again after that.
type flood struct {
	first, text string
	took        time.Duration // at the most
}

var http2Floods = map[string]flood{
	"silence":          {"", "", hostileTimeout},
	"SETTINGS":         {"", frame(frameSettings, 0, 0, ""), hostileTimeout},
	"PING":             {"", frame(framePing, 0, 0, "12345678"), hostileTimeout},
	"window updates":   {"", frame(frameWindow, 0, 0, "\x00\x00\x00\x01"), hostileTimeout},
	"unknown frames":   {"", frame(0xbe, 0xff, 1, "x"), hostileTimeout},
	"interim answers":  {"", frame(frameHeaders, endHeaders, 1, status103), hostileTimeout},
	"a byte at a time": {frame(frameHeaders, endHeaders, 1, status200), frame(frameData, 0, 1, " "), hostileTimeout},
	"empty data":       {frame(frameHeaders, endHeaders, 1, status200), frame(frameData, 0, 1, ""), hostileTimeout},
	"padded nothing":   {frame(frameHeaders, endHeaders, 1, status200), frame(frameData, 8, 1, "\xff"+string(make([]byte, 255))), hostileTimeout},
	"endless":          {frame(frameHeaders, endHeaders, 1, status200), frame(frameData, 0, 1, string(make([]byte, 16<<10))), hostileTimeout},
	"continuations":    {frame(frameHeaders, 0, 1, status200), frame(frameContinued, 0, 1, fieldXY), hostileTimeout},
	"GOAWAY":           {"", frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x0b"), hostileTimeout},
	"refused":          {"", frame(frameReset, 0, 1, "\x00\x00\x00\x07"), hostileTimeout},
	"garbage":          {"HTTP/1.1 400 Bad Request\r\n\r\n", "", hostileTimeout},

	"CVE-2026-33814 frames of no size": {"", frame(frameSettings, 0, 0, "\x00\x05\x00\x00\x00\x00"), hostileTimeout},
}

func (f flood) test(t *testing.T) {
	cert, roots := testCertificate()
	synctest.Test(t, func(t *testing.T) {
		e := newTokenEndpoint(Config{Endpoint: oauth2.Endpoint{TokenURL: "https://example.com/token"}, ClientID: testID, RefreshTimeout: hostileTimeout})
		m := new(metered)
		dials := 0
		e.own.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials++
			near, far := net.Pipe()
			go f.serve(tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}))
			conn := tls.Client(m.conn(near), &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}})
			return conn, conn.HandshakeContext(ctx)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*hostileTimeout) // so that a test which fails ends too
		defer cancel()
		start := time.Now()
		_, re := refreshWith(ctx, t, e)
		if re == nil || re.Kind != transport.Transient {
			t.Errorf("error %v, want one of kind %s", re, transport.Transient)
		}
		if took := time.Since(start); took > f.took {
			t.Errorf("it took %s, want no more than %s", took, f.took)
		}
		if dials < 1 || dials > maxAttempts {
			t.Errorf("%d connections made, want 1 to %d", dials, maxAttempts)
		}
		if n := m.most.Load(); n > 12*maxAnswer {
			t.Errorf("%d bytes read", n)
		}
		time.Sleep(idleTimeout + time.Second)
		if n := m.open.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	}) // a goroutine that is left fails the test here
}

// serve sends the flood until the client goes.
func (f flood) serve(conn *tls.Conn) {
	defer conn.Close()
	asked := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.CopyN(io.Discard, conn, 64) // more than the preface, less than all
		close(asked)
		io.Copy(io.Discard, conn)
	}()
	_, err := io.WriteString(conn, frame(frameSettings, 0, 0, ""))
	<-asked
	time.Sleep(time.Millisecond) // in which the rest of the request comes
	for text := f.first; err == nil; text = f.text {
		if _, err = io.WriteString(conn, text); f.text == "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	<-gone
}

// testCertificate returns a certificate for example.com that is good in the year
// of the bubble too.
func testCertificate() (tls.Certificate, *x509.CertPool) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	return srv.TLS.Certificates[0], srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
}

package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// meddler is a Base that changes the request it got, which it must not.
func meddler(a *tokenAPI) baseFunc {
	return func(req *http.Request) (*http.Response, error) {
		resp, err := a.RoundTrip(req)
		for name := range req.Header {
			req.Header.Set(name, "meddled")
		}
		req.Header["Authorization"][0] = "meddled"
		req.Header.Add("X-Two", "three")
		req.Header.Del("X-One")
		req.Method, req.Host, req.ContentLength = "MEDDLED", "meddled.test", 7
		return resp, err
	}
}

func TestRule027_request_is_not_changed(t *testing.T) {
	refused := func(n int64) error {
		if n > 1 {
			return errors.New("down")
		}
		return nil
	}
	for _, c := range []struct {
		name, url string
		revoked   int64
		before    func(int64) error
		header    http.Header
	}{
		{"accepted", "https://api.test/a?b#c", 0, nil, http.Header{}},
		{"sent twice", "https://api.test/", 1, nil, http.Header{}},
		{"rejected twice", "https://api.test/", 2, nil, http.Header{}},
		{"refresh fails", "https://api.test/", 1, refused, http.Header{}},
		{"no token", "https://api.test/", 0, func(int64) error { return errors.New("down") }, http.Header{}},
		{"plain http", "http://api.test/", 0, nil, http.Header{}},
		{"userinfo", "https://u:p@api.test/", 0, nil, http.Header{}},
		{"no header", "https://api.test/", 1, nil, nil},
		{"a full header map", "https://api.test/", 1, nil, manyHeaders(8)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &tokenAPI{mint: mint{before: c.before}}
			a.revoked.Store(c.revoked)
			req := request(t, "POST", c.url, strings.NewReader("content"))
			req.Header, req.Trailer = c.header, http.Header{"X-Sum": nil}
			req.TransferEncoding = []string{"chunked"}
			if c.header != nil {
				req.Header["X-One"], req.Header["X-Two"] = []string{"1"}, []string{"1", "2"}
			}
			before, stop := snapshot(req), readAllTheTime(req)
			resp, err := a.over(t, meddler(a)).RoundTrip(req)
			stop()
			if err == nil {
				readAll(t, resp)
			}
			if after := snapshot(req); !reflect.DeepEqual(before, after) {
				t.Errorf("the request was\n%+v and is\n%+v", before, after)
			}
		})
	}
}

func manyHeaders(n int) http.Header {
	h := make(http.Header)
	for i := range n {
		h.Set(fmt.Sprintf("X-Header-%d", i), "value")
	}
	return h
}

// snapshot returns all of req that can be compared, shared with nobody.
func snapshot(req *http.Request) http.Request {
	c := *req.Clone(req.Context())
	c.GetBody = nil // funcs can't be compared
	return c
}

// readAllTheTime reads req until stop is called: the race detector sees writes.
func readAllTheTime(req *http.Request) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			_ = fmt.Sprint(req.Method, req.URL, req.Header, req.Trailer, req.Host, req.ContentLength, req.TransferEncoding)
			select {
			case <-done:
				return
			case <-time.After(time.Microsecond):
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// Base gets all that the caller said, both times.
func TestTransport_copies_carry_everything(t *testing.T) {
	a := new(tokenAPI)
	a.revoked.Store(1)
	var got []*http.Request
	tr := a.over(t, baseFunc(func(req *http.Request) (*http.Response, error) {
		got = append(got, req)
		return a.RoundTrip(req)
	}))
	req := request(t, "POST", "https://api.test/a", strings.NewReader("content"))
	req.Host, req.Close, req.Pattern = "API.test:443", true, "POST /a"
	req.Header, req.Trailer = manyHeaders(3), http.Header{"X-Sum": nil}
	req.TransferEncoding = []string{"chunked"}
	send(t, tr, req)
	if len(got) != 2 {
		t.Fatalf("%d tries, want 2", len(got))
	}
	for i, sent := range got {
		want := req.Header.Clone()
		want.Set("Authorization", fmt.Sprintf("Bearer token-%d", i+1))
		if !reflect.DeepEqual(sent.Header, want) {
			t.Errorf("try %d: headers %v, want %v", i+1, sent.Header, want)
		}
		if sent.Context() != req.Context() || sent.GetBody == nil || sent.Body == nil {
			t.Errorf("try %d: context %v, GetBody %p, Body %v", i+1, sent.Context(), sent.GetBody, sent.Body)
		}
		sent, req := *sent, *req
		for _, r := range []*http.Request{&sent, &req} { // what may differ, or can't be compared
			r.Header, r.Body, r.GetBody = nil, nil, nil
		}
		if !reflect.DeepEqual(sent, req) {
			t.Errorf("try %d:\n%+v, want\n%+v", i+1, sent, req)
		}
	}
}

func TestRule033_response_names_the_callers_request(t *testing.T) {
	for _, c := range []struct {
		name    string
		revoked int64
		fails   int64 // the refresh that fails
		status  int
	}{
		{"accepted", 0, 0, 200}, {"sent twice", 1, 0, 200}, {"rejected twice", 2, 0, 401}, {"refresh fails", 1, 2, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			overBoth(t, newTokenAPI, func(t *testing.T, a *tokenAPI, srv *httptest.Server) {
				a.revoked.Store(c.revoked)
				a.before = func(n int64) error {
					if n == c.fails {
						return errors.New("down")
					}
					return nil
				}
				req := request(t, "GET", srv.URL, nil)
				resp, err := a.over(t, srv.Client().Transport).RoundTrip(req)
				if err != nil || resp.StatusCode != c.status {
					t.Fatal(resp, err)
				}
				if resp.Request != req && c.fails == 0 {
					t.Error("the response is to another request than the caller's")
				}
				wantNoToken(t, resp)
				a.asked.Store(0)
				client := &http.Client{Transport: a.over(t, srv.Client().Transport), Timeout: time.Minute}
				if resp, err = client.Get(srv.URL); err != nil {
					t.Fatal(err)
				}
				wantNoToken(t, resp)
			})
		})
	}
	t.Run("errors", func(t *testing.T) {
		tr := new(mint).over(t, baseFunc(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }))
		_, err := (&http.Client{Transport: tr}).Get("https://api.test/")
		if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(text, "token-") {
			t.Errorf("the error shows the token: %s", text)
		}
	})
}

// wantNoToken looks at what a program prints that looks into a response.
func wantNoToken(t *testing.T, resp *http.Response) {
	t.Helper()
	readAll(t, resp)
	text := fmt.Sprintf("%+v %+v %#v", resp, resp.Request, resp.Request.Header)
	if strings.Contains(text, "token-") {
		t.Errorf("the token is shown: %s", text)
	}
}

// Neither a request nor a Base that breaks the contract brings a program down.
func TestTransport_bad_requests_and_bases(t *testing.T) {
	tr := new(mint).over(t, baseFunc(func(*http.Request) (*http.Response, error) { return nil, nil }))
	for name, req := range map[string]*http.Request{
		"no URL":    {Header: http.Header{}},
		"no answer": request(t, "GET", "https://api.test/", nil),
	} {
		if resp, err := tr.RoundTrip(req); resp != nil || err == nil {
			t.Errorf("%s: %v, %v; want an error", name, resp, err)
		}
	}
}

package main

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/freshet-go/freshet/tokenstore"
)

// A service keeps values under keys, and leases keys: what any database can do
// that compares and sets. This one is in memory, and its clients are not asked who
// they are; yours is neither. The zero value is ready.
type service struct {
	mu      sync.Mutex // guards what follows
	records map[string][]byte
	leases  map[string]lease
}

type lease struct {
	id   string
	ends time.Time
}

// ServeHTTP answers these, with key and lease in the query:
//
//	GET    /record  the record, or 404
//	PUT    /record  writes it, and
//	DELETE /record  removes it; 409 unless the lease is that of the key
//	PUT    /lease   leases the key for so long; 409 while another has it
//	DELETE /lease   gives it back
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, tokenstore.MaxRecord))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	lasts, err := time.ParseDuration(query.Get("for"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, answer := s.do(r.Method+r.URL.Path, query.Get("key"), lease{query.Get("lease"), time.Now().Add(lasts)}, body)
	w.WriteHeader(status)
	w.Write(answer)
}

// do carries out one request, and no other one meanwhile.
func (s *service) do(what, key string, asked lease, body []byte) (status int, answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records, s.leases = make(map[string][]byte), make(map[string]lease)
	}
	if s.leases[key].ends.Before(time.Now()) {
		delete(s.leases, key)
	}
	holder, held := s.leases[key]
	mine := held && holder.id == asked.id
	switch {
	case what == "GET/record":
		record, ok := s.records[key]
		if !ok {
			return http.StatusNotFound, nil
		}
		return http.StatusOK, record
	case what == "PUT/lease" && (mine || !held):
		s.leases[key] = asked
	case what == "DELETE/lease" && (mine || !held):
		delete(s.leases, key)
	case what == "PUT/record" && mine:
		s.records[key] = body
	case what == "DELETE/record" && mine:
		delete(s.records, key)
	default:
		return http.StatusConflict, nil
	}
	return http.StatusOK, nil
}

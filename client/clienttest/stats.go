package clienttest

// Stats counts what came to the server since it started, or since ResetStats.
type Stats struct {
	Logins        int // codes and device codes that became sessions
	TokenRequests int // to the token endpoint, whatever became of them
	Refreshes     int // refreshes that the server carried out, answered or not
	Reused        int // refresh tokens that came although they had been used
	Revocations   int // tokens that were to be revoked, known ones or not
	APIRequests   int // to the API
	Unauthorized  int // of these, answered 401
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	log := s.srv.Log()
	return Stats{
		Logins:        log.Logins(),
		TokenRequests: log.TokenRequests(),
		Refreshes:     log.Refreshes(),
		Reused:        log.Reused(),
		Revocations:   log.Revocations(),
		APIRequests:   log.APIRequests(),
		Unauthorized:  log.Unauthorized(),
	}
}

// ResetStats sets the counts to zero and forgets which tokens went where.
func (s *Server) ResetStats() { s.srv.Log().Reset() }

// TokenSeenBy reports whether an access or refresh token of this server reached
// host, "api.test" or "127.0.0.1:40123", in whatever part of a request.
func (s *Server) TokenSeenBy(host string) bool { return s.srv.Log().TokenSeenBy(host) }

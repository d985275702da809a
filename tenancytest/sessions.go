package tenancytest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// What the sessions of a [SessionService] last.
const (
	SessionIdle     = 30 * time.Minute
	SessionLifetime = 12 * time.Hour
)

// SessionService is something that signs people in by a cookie, such as package admin/auth. Sessions of it end after [SessionIdle] without a
// request, and [SessionLifetime] after their sign-in, whatever happens.
type SessionService struct {
	// SignIn begins a session, and SignOut ends that of the request.
	SignIn, SignOut http.Handler
	// Renew gives the request's session a new token, as after a step of a sign-in.
	Renew http.Handler
	// Request answers 200 to a request with a session, and 401 to others. It calls during while it is at work.
	Request func(during func()) http.Handler
	// Writes returns how often sessions were written.
	Writes func() (int, error)
	// Pass lets that time pass for all sessions.
	Pass func(time.Duration) error
}

// TestSessions tests a service of sessions. Open returns a new one.
func TestSessions(t *testing.T, open func(t *testing.T) *SessionService) {
	for _, habit := range slices.Sorted(maps.Keys(SessionHabits())) {
		t.Run(habit, func(t *testing.T) {
			if err := SessionHabits()[habit](open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// SessionHabits are the tests of [TestSessions]. Each returns what is wrong with the service, which is a new one.
func SessionHabits() map[string]func(*SessionService) error {
	return map[string]func(*SessionService) error{
		"a request under way does not revive a session": notRevived,
		"requests do not write":                         notWritten,
		"a new token does not prolong a session":        notProlonged,
		"a session that is not used ends":               idleEnds,
		"an old token is worth nothing":                 oldToken,
		"a planted token is worth nothing":              planted,
	}
}

// jar is a browser's cookies.
type jar map[string]string

// send sends a request with the cookies to the handler, keeps those of the answer, and returns its status.
func (j jar) send(h http.Handler) int {
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", nil)
	r.RemoteAddr = "127.0.0.1:1234"
	for name, value := range j {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(j, c.Name)
		} else {
			j[c.Name] = c.Value
		}
	}
	return w.Code
}

func (s *SessionService) signedIn() (jar, error) {
	j := jar{}
	if code := j.send(s.SignIn); code >= 300 || len(j) == 0 {
		return nil, fmt.Errorf("sign-in: got %d and the cookies %v", code, j)
	}
	return j, s.want(j, http.StatusOK, "after the sign-in")
}

func (s *SessionService) want(j jar, code int, when string) error {
	if got := maps.Clone(j).send(s.Request(func() {})); got != code {
		return fmt.Errorf("%s: got %d, want %d", when, got, code)
	}
	return nil
}

func notRevived(s *SessionService) error {
	j, err := s.signedIn()
	if err != nil {
		return err
	}
	old := maps.Clone(j)
	maps.Clone(j).send(s.Request(func() { j.send(s.SignOut) }))
	return s.want(old, http.StatusUnauthorized, "after a sign-out during a request")
}

func notWritten(s *SessionService) error {
	j, err := s.signedIn()
	if err != nil {
		return err
	}
	before, err := s.Writes()
	if err != nil {
		return err
	}
	for range 3 {
		if err := s.want(j, http.StatusOK, "a request"); err != nil {
			return err
		}
	}
	after, err := s.Writes()
	if err == nil && after != before {
		err = fmt.Errorf("three requests: got %d writes, want none", after-before)
	}
	return err
}

func notProlonged(s *SessionService) error {
	j, err := s.signedIn()
	if err != nil {
		return err
	}
	const step = SessionIdle - 5*time.Minute
	for passed := step; passed < SessionLifetime; passed += step {
		if err := s.Pass(step); err != nil {
			return err
		}
		if code := j.send(s.Renew); code >= 300 {
			return fmt.Errorf("a new token after %v: got %d", passed, code)
		}
	}
	if err := s.Pass(step); err != nil {
		return err
	}
	return s.want(j, http.StatusUnauthorized, "after its lifetime, with new tokens all the time")
}

func idleEnds(s *SessionService) error {
	j, err := s.signedIn()
	if err != nil {
		return err
	}
	if err := s.Pass(SessionIdle + time.Minute); err != nil {
		return err
	}
	return s.want(j, http.StatusUnauthorized, "after idle minutes")
}

func oldToken(s *SessionService) error {
	j, err := s.signedIn()
	if err != nil {
		return err
	}
	old := maps.Clone(j)
	if code := j.send(s.Renew); code >= 300 {
		return fmt.Errorf("a new token: got %d", code)
	}
	if err := s.want(j, http.StatusOK, "with the new token"); err != nil {
		return err
	}
	return s.want(old, http.StatusUnauthorized, "with the old token")
}

func planted(s *SessionService) error {
	attacker, err := s.signedIn()
	if err != nil {
		return err
	}
	victim := maps.Clone(attacker)
	if code := victim.send(s.SignIn); code >= 300 {
		return fmt.Errorf("sign-in with a planted cookie: got %d", code)
	}
	if err := s.want(victim, http.StatusOK, "after the sign-in with a planted cookie"); err != nil {
		return err
	}
	return s.want(attacker, http.StatusUnauthorized, "with the planted cookie")
}

package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func signedIn(t *testing.T, a *auth.Auth) *browser {
	t.Helper()
	owner(t, a)
	b := &browser{}
	if id, err := b.signIn(t, a, "ada@example.com", password); err != nil || id.Session.Stage != auth.StageFull {
		t.Fatalf("got %+v, %v, want a full session", id, err)
	}
	return b
}

// A sign-out ends the session for requests that are under way: what they do to it later does not bring it back.
func TestSignOutIsNotRevived(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		b := signedIn(t, a)
		if _, err := db.Exec(`UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - 120000000`); err != nil {
			t.Fatal(err)
		}
		under, err := a.Identify(b.request(t)) // a request begins
		if err != nil {
			t.Fatal(err)
		}
		old := b.request(t)
		if err := a.SignOut(httptest.NewRecorder(), b.request(t)); err != nil {
			t.Fatal(err)
		}
		if err := a.Active(t.Context(), under); err != nil { // and ends
			t.Fatal(err)
		}
		if _, err := a.BeginEnrol(httptest.NewRecorder(), old); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("writing the session: got %v, want unauthenticated", err)
		}
		if _, err := a.Identify(b.request(t)); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("got %v, want unauthenticated", err)
		}
		var n int
		if err := db.Get(&n, `SELECT COUNT(*) FROM tenancy_auth_sessions`); err != nil || n != 0 {
			t.Errorf("got %d sessions, %v, want none", n, err)
		}
	})
}

// Sign-outs and step-ups at the same time leave no session behind: a step-up moves the session, and makes none.
func TestSignOutDuringStepUps(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for _, all := range []bool{true, false} {
			signOutDuringStepUps(t, s, all)
		}
	})
}

// signOutDuringStepUps ends all sessions of the operator during step-ups, or signs out of the one.
func signOutDuringStepUps(t *testing.T, s *tenancytest.Server, every bool) {
	t.Helper()
	a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
	b := signedIn(t, a)
	id, err := a.Identify(b.request(t))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := a.StepUp(httptest.NewRecorder(), b.request(t), tenancy.NewSecret(password), tenancy.Secret{})
			if err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) && !errors.Is(err, tenancy.ErrLimited) {
				t.Errorf("got %v, want unauthenticated", err)
			}
		})
	}
	all.Go(func() {
		if !every {
			if err := a.SignOut(httptest.NewRecorder(), b.request(t)); err != nil {
				t.Error(err)
			}
			return
		}
		if _, err := a.EndSessions(t.Context(), id.Operator.ID, ""); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	var n int
	if err := db.Get(&n, `SELECT COUNT(*) FROM tenancy_auth_sessions`); err != nil || n != 0 {
		t.Errorf("got %d sessions, %v, want none", n, err)
	}
}

// Requests do not write the session, except once a minute that it was seen.
func TestRequestsDoNotWrite(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	b := signedIn(t, a)
	// A write fails from now on.
	if _, err := db.Exec(`CREATE TRIGGER no_write BEFORE UPDATE ON tenancy_auth_sessions BEGIN SELECT RAISE(ABORT, 'written'); END`); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		id, err := a.Identify(b.request(t))
		if err == nil {
			err = a.Active(t.Context(), id)
		}
		if err != nil {
			t.Errorf("got %v, want no write", err)
		}
	}
	if _, err := db.Exec(`DROP TRIGGER no_write`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - 61000000`); err != nil {
		t.Fatal(err)
	}
	id, err := a.Identify(b.request(t))
	if err == nil {
		err = a.Active(t.Context(), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	var seen int64
	if err := db.Get(&seen, `SELECT last_seen_at FROM tenancy_auth_sessions`); err != nil || time.Since(time.UnixMicro(seen)) > time.Minute {
		t.Errorf("got last seen %v, %v, want now", time.UnixMicro(seen), err)
	}
}

// A new token does not make a session last longer.
func TestRenewalKeepsTheLifetime(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		b := signedIn(t, a)
		if _, err := db.Exec(`UPDATE tenancy_auth_sessions SET expires_at = expires_at - 36000000000`); err != nil { // ten hours ago
			t.Fatal(err)
		}
		before, err := a.Identify(b.request(t))
		if err != nil {
			t.Fatal(err)
		}
		old := b.cookies["__Host-tenancy"]
		stepped, err := b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
			return a.StepUp(w, r, tenancy.NewSecret(password), tenancy.Secret{})
		})
		if err != nil {
			t.Fatal(err)
		}
		after, err := a.Identify(b.request(t))
		if err != nil {
			t.Fatal(err)
		}
		if !after.Session.ExpiresAt.Equal(before.Session.ExpiresAt) || after.Session.ID != before.Session.ID || stepped.Session.ID != before.Session.ID {
			t.Errorf("got the end %v, want %v", after.Session.ExpiresAt, before.Session.ExpiresAt)
		}
		r := (&browser{}).request(t)
		r.AddCookie(&http.Cookie{Name: "__Host-tenancy", Value: old})
		if _, err := a.Identify(r); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the old token: got %v, want unauthenticated", err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"idle":    `UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - 1801000000`,
		"expired": `UPDATE tenancy_auth_sessions SET expires_at = expires_at - 43201000000`,
	} {
		a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
		b := signedIn(t, a)
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Identify(b.request(t)); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("%s: got %v, want unauthenticated", name, err)
		}
	}
}

// A token that somebody planted in the browser is worth nothing after the sign-in.
func TestFixation(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	attacker := signedIn(t, a)
	victim := &browser{cookies: map[string]string{"__Host-tenancy": attacker.cookies["__Host-tenancy"]}}
	if _, err := victim.signIn(t, a, "ada@example.com", password); err != nil {
		t.Fatal(err)
	}
	if victim.cookies["__Host-tenancy"] == attacker.cookies["__Host-tenancy"] {
		t.Error("got the planted token, want a new one")
	}
	if _, err := a.Identify(attacker.request(t)); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("the planted token: got %v, want unauthenticated", err)
	}
}

// A database that does not answer signs nobody out.
func TestUnavailableIsNotSignedOut(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	b := signedIn(t, a)
	if _, err := db.Exec(`ALTER TABLE tenancy_auth_sessions RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(b.request(t)); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("got %v, want unavailable", err)
	}
}

// A browser that signs out before it has the cookie of a step-up ends the session all the same, and with the new cookie nobody is signed in.
func TestSignOutBeforeTheNewCookie(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, a *auth.Auth, old *http.Request) error{
		"sign-out": func(_ *testing.T, a *auth.Auth, old *http.Request) error {
			w := httptest.NewRecorder()
			err := a.SignOut(w, old)
			if err == nil && len(w.Result().Cookies()) == 0 {
				err = errors.New("the cookie stays")
			}
			return err
		},
		"another sign-in": func(_ *testing.T, a *auth.Auth, old *http.Request) error {
			_, err := a.SignIn(httptest.NewRecorder(), old, "ada@example.com", tenancy.NewSecret(password))
			return err
		},
	} {
		tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
			a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
			b := signedIn(t, a)
			before, err := a.Identify(b.request(t))
			if err != nil {
				t.Fatal(err)
			}
			old := b.request(t)
			if _, err := b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
				return a.StepUp(w, r, tenancy.NewSecret(password), tenancy.Secret{})
			}); err != nil {
				t.Fatal(err)
			}
			if err := end(t, a, old); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := a.Identify(b.request(t)); !errors.Is(err, tenancy.ErrUnauthenticated) {
				t.Errorf("%s: with the new cookie: got %v, want unauthenticated", name, err)
			}
			var n int
			if err := db.Get(&n, db.Rebind(`SELECT COUNT(*) FROM tenancy_auth_sessions WHERE id = ?`), before.Session.ID); err != nil || n != 0 {
				t.Errorf("%s: got %d sessions, %v, want none", name, n, err)
			}
		})
	}
}

// An operator's own step-up does not break off what they have under way: the session is the same.
func TestIdentifyAgainAfterAStepUp(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	b := signedIn(t, a)
	under := b.request(t)
	before, err := a.Identify(under)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
		return a.StepUp(w, r, tenancy.NewSecret(password), tenancy.Secret{})
	}); err != nil {
		t.Fatal(err)
	}
	id, err := a.IdentifyAgain(under, before)
	if err != nil || id.Session.ID != before.Session.ID || id.Operator.ID != before.Operator.ID {
		t.Fatalf("after a step-up: got %+v, %v, want the same session", id, err)
	}
	if began := before.Session.AuthenticatedAt; !id.Session.AuthenticatedAt.Equal(began) { // whoever sent it need not be who has shown them
		t.Errorf("after a step-up: got credentials of %v, want those with which the request began, of %v", id.Session.AuthenticatedAt, began)
	}
	if err := a.SignOut(httptest.NewRecorder(), b.request(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.IdentifyAgain(under, before); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("after the sign-out: got %v, want unauthenticated", err)
	}
}

// The session begins in the transaction that looks at the password: a sign-in without a session leaves nothing behind, and a change of the password
// that comes after it ends the session.
func TestSignInIsOneTransaction(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	o := owner(t, a)
	if _, err := db.Exec(`CREATE TRIGGER no_session BEFORE INSERT ON tenancy_auth_sessions BEGIN SELECT RAISE(ABORT, 'no session'); END`); err != nil {
		t.Fatal(err)
	}
	if _, err := new(browser).signIn(t, a, o.Email, password); err == nil {
		t.Fatal("got a sign-in, want an error")
	}
	if got, err := a.Operator(t.Context(), o.ID); err != nil || !got.SignedInAt.IsZero() {
		t.Errorf("got signed in at %v, %v, want never", got.SignedInAt, err)
	}
}

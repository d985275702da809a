package auth_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pquerna/otp/totp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const password = "correct horse battery staple"

// patience is how long a sign-in waits for its turn on a machine that is very busy.
const patience = 10 * time.Minute

// everything passes all limits: the tests that are about limits have their own.
type everything struct{}

func (everything) Take(context.Context, []ratelimit.Limit) (bool, error) { return true, nil }

// newAuth returns operators in a database of their own on that server.
func newAuth(t *testing.T, s *tenancytest.Server, opts *auth.Options) (*auth.Auth, *sqlx.DB) {
	t.Helper()
	if opts == nil {
		opts = &auth.Options{}
	}
	if opts.Limiter == nil {
		opts.Limiter = everything{}
	}
	if opts.PasswordWait == 0 {
		opts.PasswordWait = patience
	}
	db := s.Database(t)
	a, err := auth.New(db, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, db
}

// browser keeps cookies between calls, as a browser on this machine does.
type browser struct {
	mu      sync.Mutex // guards cookies
	cookies map[string]string
}

// request returns a request with the browser's cookies.
func (b *browser) request(t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", nil).WithContext(t.Context())
	r.RemoteAddr = "127.0.0.1:1234"
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// keep takes the cookies of an answer.
func (b *browser) keep(w *httptest.ResponseRecorder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		if b.cookies == nil {
			b.cookies = map[string]string{}
		}
		b.cookies[c.Name] = c.Value
	}
}

// do calls fn with a request of the browser, and keeps the cookies that it sets.
func (b *browser) do(t *testing.T, fn func(http.ResponseWriter, *http.Request) (*auth.Identity, error)) (*auth.Identity, error) {
	t.Helper()
	w := httptest.NewRecorder()
	id, err := fn(w, b.request(t))
	b.keep(w)
	return id, err
}

func (b *browser) signIn(t *testing.T, a *auth.Auth, email, password string) (*auth.Identity, error) {
	t.Helper()
	return b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
		return a.SignIn(w, r, email, tenancy.NewSecret(password))
	})
}

func (b *browser) code(t *testing.T, a *auth.Auth, code string) (*auth.Identity, error) {
	t.Helper()
	return b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
		return a.SecondFactor(w, r, tenancy.NewSecret(code))
	})
}

// enrol sets a second factor up and returns its secret, the code that was used for that, and the recovery codes.
func (b *browser) enrol(t *testing.T, a *auth.Auth) (secret, code string, recovery []tenancy.Secret) {
	t.Helper()
	e, err := a.BeginEnrol(httptest.NewRecorder(), b.request(t))
	if err != nil {
		t.Fatal(err)
	}
	secret = e.Secret.Reveal()
	code = codeOf(t, secret, 0)
	_, err = b.do(t, func(w http.ResponseWriter, r *http.Request) (id *auth.Identity, err error) {
		id, recovery, err = a.Enrol(w, r, tenancy.NewSecret(code))
		return id, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret, code, recovery
}

// codeOf returns the time-based code of the step that is so many ahead.
func codeOf(t *testing.T, secret string, ahead int) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(ahead)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func owner(t *testing.T, a *auth.Auth) *auth.Operator {
	t.Helper()
	o, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "Ada@Example.com", Role: auth.RoleOwner, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSetupOneOfManyWins(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, nil)
		var tokens []tenancy.Secret
		for range 2 { // two instances, each with a token
			token, err := a.NewSetupToken(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, token)
		}
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				var b browser
				id, err := b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
					return a.Setup(w, r, tokens[i%2], auth.OperatorSpec{Email: "ada@example.com", Password: password})
				})
				switch {
				case err == nil:
					won.Add(1)
					if id.Session.Stage != auth.StageEnrol || len(b.cookies) != 1 {
						t.Errorf("got stage %q and %d cookies, want a session that must enrol", id.Session.Stage, len(b.cookies))
					}
				case !errors.Is(err, tenancy.ErrUnauthenticated) && !errors.Is(err, tenancy.ErrLimited):
					t.Errorf("got %v, want unauthenticated or limited", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("got %d winners, want 1", won.Load())
		}
		if _, err := a.NewSetupToken(t.Context()); !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("a token afterwards: got %v, want exists", err)
		}
		all2, err := a.Operators(t.Context(), "", 10)
		if err != nil || len(all2) != 1 || all2[0].Role != auth.RoleOwner || !all2[0].Scope.IsAll() {
			t.Errorf("got %+v, %v, want one owner", all2, err)
		}
	})
}

func TestSetupTokenExpires(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), nil)
	token, err := a.NewSetupToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	if err := db.Get(&hash, `SELECT token_hash FROM tenancy_auth_setup_tokens`); err != nil || strings.Contains(hash, token.Reveal()) {
		t.Fatalf("got %q, %v, want a hash", hash, err)
	}
	if _, err := db.Exec(`UPDATE tenancy_auth_setup_tokens SET expires_at = expires_at - 3600000000`); err != nil {
		t.Fatal(err)
	}
	var b browser
	_, err = b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
		return a.Setup(w, r, token, auth.OperatorSpec{Email: "ada@example.com", Password: password})
	})
	if !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("got %v, want unauthenticated", err)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, nil)
		o := owner(t, a)
		var b browser
		_, wrong := b.signIn(t, a, "ada@example.com", "not the password at all")
		_, unknown := b.signIn(t, a, "nobody@example.com", password)
		if !errors.Is(wrong, tenancy.ErrUnauthenticated) || unknown == nil || wrong.Error() != unknown.Error() {
			t.Errorf("got %v and %v, want the same error", wrong, unknown)
		}
		id, err := b.signIn(t, a, " ADA@example.com ", password)
		if err != nil {
			t.Fatal(err)
		}
		if id.Session.Stage != auth.StageEnrol || id.FailedSignIns != 1 || id.Operator.ID != o.ID {
			t.Errorf("got stage %q, %d failures, want enrol and 1", id.Session.Stage, id.FailedSignIns)
		}
		before := b.cookies["__Host-tenancy"]
		secret, used, recovery := b.enrol(t, a)
		if len(recovery) != 10 {
			t.Errorf("got %d recovery codes, want 10", len(recovery))
		}
		if now := b.cookies["__Host-tenancy"]; now == before || now == "" {
			t.Error("got the same token after the second factor, want a new one")
		}
		if id, err := a.Identify(b.request(t)); err != nil || id.Session.Stage != auth.StageFull || !id.Fresh() {
			t.Errorf("got %+v, %v, want a full session", id, err)
		}
		// Elsewhere, the second factor is asked for. The code of the enrolment is used up.
		var other browser
		if id, err := other.signIn(t, a, "ada@example.com", password); err != nil || id.Session.Stage != auth.StageFactor {
			t.Fatalf("got %+v, %v, want the second factor to be due", id, err)
		}
		if _, err := other.code(t, a, used); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("a used code: got %v, want unauthenticated", err)
		}
		if _, err := other.code(t, a, recovery[3].Reveal()); err != nil {
			t.Errorf("a recovery code: got %v", err)
		}
		var third browser
		if _, err := third.signIn(t, a, "ada@example.com", password); err != nil {
			t.Fatal(err)
		}
		if _, err := third.code(t, a, recovery[3].Reveal()); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("a used recovery code: got %v, want unauthenticated", err)
		}
		// What is stored gives nothing away.
		var stored []string
		for _, query := range []string{`SELECT token_hash FROM tenancy_auth_sessions`, `SELECT code_hash FROM tenancy_auth_recovery_codes`,
			`SELECT totp_secret FROM tenancy_auth_operators`, `SELECT password_hash FROM tenancy_auth_operators`} {
			var column []string
			if err := db.Select(&column, query); err != nil {
				t.Fatal(err)
			}
			stored = append(stored, column...)
		}
		for _, text := range stored {
			for _, planted := range []string{secret, password, b.cookies["__Host-tenancy"], other.cookies["__Host-tenancy"], recovery[4].Reveal()} {
				if planted != "" && strings.Contains(text, planted) {
					t.Errorf("the database has %q", planted)
				}
			}
		}
	})
}

func TestOneCodeWinsOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, nil)
		owner(t, a)
		var b browser
		if _, err := b.signIn(t, a, "ada@example.com", password); err != nil {
			t.Fatal(err)
		}
		secret, _, recovery := b.enrol(t, a)
		const n = 4 // as many as are looked at before the lock
		browsers := make([]browser, n)
		for i := range browsers {
			if _, err := browsers[i].signIn(t, a, "ada@example.com", password); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := browsers[0].code(t, a, codeOf(t, secret, 20)); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("a code of the future: got %v, want unauthenticated", err)
		}
		for _, code := range []string{codeOf(t, secret, 0), recovery[0].Reveal()} {
			// No code was used so far, no attempt was made, and nobody is in.
			if _, err := db.Exec(`UPDATE tenancy_auth_operators SET totp_step = 0, factor_misses = 0, factor_locked = 0`); err != nil {
				t.Fatal(err)
			}
			for i := range browsers {
				if _, err := browsers[i].signIn(t, a, "ada@example.com", password); err != nil {
					t.Fatal(err)
				}
			}
			if len(code) == 6 {
				code = codeOf(t, secret, 0)
			}
			var won atomic.Int64
			var all sync.WaitGroup
			for i := range browsers {
				all.Go(func() {
					if _, err := browsers[i].code(t, a, code); err == nil {
						won.Add(1)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("got %d winners with one code, want 1", won.Load())
			}
		}
	})
}

func TestSecondFactorLocks(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner(t, a)
	var b browser
	if _, err := b.signIn(t, a, "ada@example.com", password); err != nil {
		t.Fatal(err)
	}
	_, _, recovery := b.enrol(t, a)
	var other browser
	if _, err := other.signIn(t, a, "ada@example.com", password); err != nil {
		t.Fatal(err)
	}
	var missed, limited atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch _, err := other.code(t, a, "000000"); {
			case errors.Is(err, tenancy.ErrUnauthenticated):
				missed.Add(1)
			case errors.Is(err, tenancy.ErrLimited):
				limited.Add(1)
			default:
				t.Errorf("got %v, want unauthenticated or limited", err)
			}
		})
	}
	all.Wait()
	if missed.Load() != 5 || limited.Load() != 45 {
		t.Errorf("got %d codes looked at and %d refused, want 5 and 45", missed.Load(), limited.Load())
	}
	if _, err := other.code(t, a, recovery[0].Reveal()); !errors.Is(err, tenancy.ErrLimited) {
		t.Errorf("a right code while locked: got %v, want limited", err)
	}
	lock := func() time.Duration {
		var until int64
		if err := db.Get(&until, `SELECT factor_locked FROM tenancy_auth_operators`); err != nil {
			t.Fatal(err)
		}
		return time.Until(time.UnixMicro(until))
	}
	if d := lock(); d < 10*time.Minute || d > 15*time.Minute {
		t.Errorf("got a lock of %v, want 15 minutes", d)
	}
	// The next miss doubles it.
	if _, err := db.Exec(`UPDATE tenancy_auth_operators SET factor_locked = 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := other.code(t, a, "000000"); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("got %v, want unauthenticated", err)
	}
	if d := lock(); d < 25*time.Minute || d > 30*time.Minute {
		t.Errorf("got a lock of %v, want 30 minutes", d)
	}
}

func TestPlainHTTPFromElsewhere(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner(t, a)
	for name, change := range map[string]func(*http.Request){
		"another machine":                 func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1234" },
		"a name that is not this machine": func(r *http.Request) { r.Host = "console.example" },
		"a header that nobody vouches for": func(r *http.Request) {
			r.RemoteAddr = "192.0.2.1:1234"
			r.Header.Set("X-Forwarded-Proto", "https")
		},
	} {
		r := new(browser).request(t)
		change(r)
		if _, err := a.SignIn(httptest.NewRecorder(), r, "ada@example.com", tenancy.NewSecret(password)); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%s: got %v, want forbidden", name, err)
		}
	}
}

func TestLastOwnerStays(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, nil)
		first := owner(t, a)
		second, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "bob@example.com", Role: auth.RoleOwner, Scope: tenancy.AllTenants(), Password: password})
		if err != nil {
			t.Fatal(err)
		}
		viewer := auth.RoleViewer
		if _, err := a.UpdateOperator(t.Context(), first.ID, first.Version, first.ID, auth.OperatorChange{Role: &viewer}); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("one's own role: got %v, want forbidden", err)
		}
		// Each demotes the other at once.
		var won atomic.Int64
		var all sync.WaitGroup
		for _, of := range []struct{ who, by *auth.Operator }{{first, second}, {second, first}} {
			all.Go(func() {
				switch _, err := a.UpdateOperator(t.Context(), of.who.ID, of.who.Version, of.by.ID, auth.OperatorChange{Role: &viewer}); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, tenancy.ErrForbidden):
					t.Errorf("got %v, want forbidden", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("got %d demotions, want 1", won.Load())
		}
		if _, err := a.UpdateOperator(t.Context(), first.ID, 77, second.ID, auth.OperatorChange{Name: &viewer}); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("another version: got %v, want conflict", err)
		}
	})
}

// A change of an operator counts from the next request on.
func TestChangesCountAtOnce(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	o := owner(t, a)
	v, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "vic@example.com", Role: auth.RoleOperator, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	var b browser
	if _, err := b.signIn(t, a, "vic@example.com", password); err != nil {
		t.Fatal(err)
	}
	role, scope, disabled := auth.RoleViewer, tenancy.ByTags("eu"), true
	v, err = a.UpdateOperator(t.Context(), v.ID, v.Version, o.ID, auth.OperatorChange{Role: &role, Scope: &scope})
	if err != nil {
		t.Fatal(err)
	}
	id, err := a.Identify(b.request(t))
	if err != nil || id.Permissions.Has(auth.TenantsStatus) || !id.Permissions.Has(auth.TenantsRead) || id.Scope.IsAll() {
		t.Errorf("got %+v, %v, want a viewer of some tenants", id, err)
	}
	if _, err := a.UpdateOperator(t.Context(), v.ID, v.Version, o.ID, auth.OperatorChange{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(b.request(t)); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("got %v, want unauthenticated", err)
	}
	if _, err := b.signIn(t, a, "vic@example.com", password); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("a sign-in when disabled: got %v, want unauthenticated", err)
	}
}

// failing is an auditor that writes nothing.
type failing struct{}

func (failing) Audit(context.Context, *sql.Tx, tenancy.Entry) error { return tenancy.ErrUnavailable }

func TestNoChangeWithoutEntry(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, &auth.Options{Auditor: failing{}})
		_, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "ada@example.com", Role: auth.RoleOwner, Scope: tenancy.AllTenants(), Password: password})
		if !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
		var n int
		if err := db.Get(&n, `SELECT COUNT(*) FROM tenancy_auth_operators`); err != nil || n != 0 {
			t.Errorf("got %d operators, %v, want none", n, err)
		}
	})
}

package auth_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A proxy on this machine that passes requests on as requests for localhost does not make them requests of this machine.
func TestPlainHTTPBehindAProxyOnThisMachine(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		proxies *resolver.Proxies
		header  map[string]string
		refused bool
	}{
		{"trusted, plain HTTP", proxies, map[string]string{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}, true},
		{"trusted, no word on the protocol", proxies, map[string]string{"X-Forwarded-For": "203.0.113.9"}, true},
		{"trusted, for another host", proxies, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "console.example"}, true},
		{"trusted, a malformed address", proxies, map[string]string{"X-Forwarded-For": "nobody"}, true},
		{"trusted, HTTPS", proxies, map[string]string{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, false},
		{"trusted, from this machine", proxies, nil, false},
		{"not configured, X-Forwarded-For", nil, map[string]string{"X-Forwarded-For": "203.0.113.9"}, true},
		{"not configured, X-Forwarded-Proto", nil, map[string]string{"X-Forwarded-Proto": "https"}, true},
		{"not configured, X-Real-Ip", nil, map[string]string{"X-Real-Ip": "203.0.113.9"}, true},
		{"not configured, Forwarded", nil, map[string]string{"Forwarded": "for=203.0.113.9"}, true},
		{"not configured, Via", nil, map[string]string{"Via": "1.1 proxy"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{Proxies: tt.proxies})
			owner(t, a)
			r := new(browser).request(t)
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			_, err := a.SignIn(httptest.NewRecorder(), r, "ada@example.com", tenancy.NewSecret(password))
			if refused := errors.Is(err, tenancy.ErrForbidden); refused != tt.refused || !refused && err != nil {
				t.Errorf("got %v, want refused %v", err, tt.refused)
			}
		})
	}
}

// book is an auditor that keeps entries in memory, or fails.
type book struct {
	mu      sync.Mutex // guards what follows
	entries []tenancy.Entry
	fails   bool
}

func (b *book) Audit(_ context.Context, _ *sql.Tx, e tenancy.Entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := e.Validate(); err != nil {
		return err
	}
	if b.fails {
		return tenancy.ErrUnavailable
	}
	b.entries = append(b.entries, e)
	return nil
}

// last returns the last entry of an action.
func (b *book) last(action string) (found tenancy.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.Action == action {
			found = e
		}
	}
	return found
}

func (b *book) fail(fails bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = fails
}

// Nobody gets further in a sign-in, and no credentials become fresh, while the entry of that cannot be written.
func TestNoStageWithoutEntry(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		trail := &book{}
		a, _ := newAuth(t, s, &auth.Options{Auditor: trail})
		owner(t, a)
		b := &browser{}
		if _, err := b.signIn(t, a, "ada@example.com", password); err != nil {
			t.Fatal(err)
		}
		_, _, recovery := b.enrol(t, a)
		before, err := a.Identify(b.request(t))
		if err != nil {
			t.Fatal(err)
		}
		trail.fail(true)
		_, err = b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
			return a.StepUp(w, r, tenancy.NewSecret(password), recovery[0])
		})
		if !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("step-up: got %v, want unavailable", err)
		}
		if id, err := a.Identify(b.request(t)); err != nil || !id.Session.AuthenticatedAt.Equal(before.Session.AuthenticatedAt) {
			t.Errorf("step-up without its entry: got %+v, %v, want credentials of %v", id, err, before.Session.AuthenticatedAt)
		}
		trail.fail(false)
		other := &browser{}
		if _, err := other.signIn(t, a, "ada@example.com", password); err != nil {
			t.Fatal(err)
		}
		trail.fail(true)
		if _, err := other.code(t, a, recovery[1].Reveal()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("second factor: got %v, want unavailable", err)
		}
		if id, err := a.Identify(other.request(t)); err != nil || id.Session.Stage != auth.StageFactor {
			t.Errorf("second factor without its entry: got %+v, %v, want the stage before", id, err)
		}
	})
}

// What somebody types into the field of the address, perhaps their password, is in no entry unless it is an address; and an address may be
// longer than the object of an entry.
func TestWhatIsNoAddressIsInNoEntry(t *testing.T) {
	t.Parallel()
	trail := &book{}
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{Auditor: trail})
	o := owner(t, a)
	const secret = "my password, typed too early"
	long := strings.Repeat("a", 240) + "@example.com"
	for _, email := range []string{secret, "", long, strings.Repeat("é", 300)} {
		if _, err := new(browser).signIn(t, a, email, password); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("sign-in as %.20q: got %v, want unauthenticated", email, err)
		}
	}
	if _, _, err := a.Invite(t.Context(), o, auth.OperatorSpec{Email: long, Role: auth.RoleViewer, Scope: tenancy.AllTenants()}); err != nil {
		t.Errorf("invitation to a long address: got %v", err)
	}
	denied := 0
	for _, e := range trail.entries {
		if e.Result == tenancy.AuditDenied {
			denied++
		}
		if strings.Contains(e.Object, "typed too early") {
			t.Errorf("got an entry about %q", e.Object)
		}
	}
	if denied != 4 {
		t.Errorf("got %d entries of denied sign-ins, want 4", denied)
	}
}

// What an operator may grant is looked at in the transaction of the change: a request that began before the operator lost the right does
// not carry it out.
func TestRightsCountInTheTransaction(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, nil)
		boss := owner(t, a)
		make := func(email, role string, scope tenancy.Scope) *auth.Operator {
			o, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: email, Role: role, Scope: scope, Password: password})
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		security, vic := make("sec@example.com", auth.RoleSecurity, tenancy.AllTenants()), make("vic@example.com", auth.RoleViewer, tenancy.ByIDs("a"))
		role, owner, all, disabled := auth.RoleSecurity, auth.RoleOwner, tenancy.AllTenants(), true
		for name, c := range map[string]struct {
			by, who *auth.Operator
			change  auth.OperatorChange
		}{
			"a role with more":    {security, vic, auth.OperatorChange{Role: &owner}},
			"somebody with more":  {security, boss, auth.OperatorChange{Disabled: &disabled}},
			"by a viewer":         {vic, security, auth.OperatorChange{Scope: &all}},
			"by somebody unknown": {&auth.Operator{ID: "nobody"}, vic, auth.OperatorChange{Role: &role}},
			"oneself":             {vic, vic, auth.OperatorChange{Scope: &all}},
		} {
			if _, err := a.UpdateOperator(t.Context(), c.who.ID, c.who.Version, c.by.ID, c.change); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s: got %v, want forbidden", name, err)
			}
		}
		// The right was there when the request began.
		if err := a.MayGrant(security, role, all); err != nil {
			t.Fatal(err)
		}
		viewer := auth.RoleViewer
		if _, err := a.UpdateOperator(t.Context(), security.ID, security.Version, boss.ID, auth.OperatorChange{Role: &viewer}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.UpdateOperator(t.Context(), vic.ID, vic.Version, security.ID, auth.OperatorChange{Role: &role}); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("after the right was lost: got %v, want forbidden", err)
		}
	})
}

// Rules about addresses hold at every door: from elsewhere no link is asked for or used, and it works later from where it may.
func TestRulesHoldForLinks(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "127.0.0.1", "198.51.100.7"
	mails := make(mailbox, 10)
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true, Insecure: true})
	withMail, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{Mail: mails, URL: "https://console.example.com/", OptionalSecondFactor: true, Insecure: true})
	makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
	viewer := makeOperator(t, a, "view@example.com", auth.RoleViewer, tenancy.AllTenants())
	var b browser
	by, err := b.signIn(t, a, "root@example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	from := func(address string) *http.Request {
		r := (&browser{}).request(t)
		r.RemoteAddr = address + ":1"
		return r
	}
	reset := func(address string, token tenancy.Secret) error {
		return a.Reset(from(address), token, tenancy.NewSecret(otherPassword))
	}
	accept := func(address string, token tenancy.Secret) error {
		_, err := a.Accept(httptest.NewRecorder(), from(address), token, tenancy.NewSecret(otherPassword))
		return err
	}
	near := prefixesOf(here + "/32")
	for i, rules := range []auth.IPRules{
		{All: near}, {Roles: map[string][]netip.Prefix{auth.RoleViewer: near}}, {Operators: map[string][]netip.Prefix{viewer.ID: near}},
	} {
		if err := a.SetIPRules(t.Context(), by, int64(i+1), rules); err != nil {
			t.Fatal(err)
		}
		link, _, err := a.NewReset(t.Context(), by, viewer.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := reset(elsewhere, link); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%+v: a reset: got %v, want ErrForbidden", rules, err)
		}
		if err := reset(here, link); err != nil {
			t.Errorf("%+v: a reset from where it may: %v", rules, err)
		}
		if rules.Operators != nil {
			continue // whoever is invited has no rule of their own yet
		}
		email := []string{"one@example.com", "two@example.com"}[i]
		invitation, _, err := a.Invite(t.Context(), by.Operator, auth.OperatorSpec{Email: email, Role: auth.RoleViewer, Scope: tenancy.AllTenants()})
		if err != nil {
			t.Fatal(err)
		}
		if err := accept(elsewhere, invitation); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%+v: an invitation: got %v, want ErrForbidden", rules, err)
		}
		if err := accept(here, invitation); err != nil {
			t.Errorf("%+v: an invitation from where it may: %v", rules, err)
		}
	}

	makeOperator(t, withMail, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
	if by, err = (&browser{}).signIn(t, withMail, "root@example.com", password); err != nil {
		t.Fatal(err)
	}
	if err := withMail.SetIPRules(t.Context(), by, 1, auth.IPRules{All: near}); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"root@example.com", "nobody@example.com", "no address"} {
		if err := withMail.Forgot(from(elsewhere), email); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("a link for %s: got %v, want ErrForbidden", email, err)
		}
	}
	if err := withMail.Forgot(from(here), "root@example.com"); err != nil {
		t.Errorf("a link from where it may: %v", err)
	}
}

// Strangers who guess at an operator's password do not keep the operator from changing it, in a browser that is known.
func TestStrangersDoNotHinderAChange(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	a, err := auth.New(db, &auth.Options{OptionalSecondFactor: true, PasswordWait: patience, Limiter: neverRefilled{ratelimit.NewMemory(nil)}})
	if err == nil {
		err = a.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	makeOperator(t, a, "ada@example.com", auth.RoleOwner, tenancy.AllTenants())
	var ada, stranger browser
	if _, err := ada.signIn(t, a, "ada@example.com", password); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		_, err = stranger.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
			r.RemoteAddr = "127.0.0.2:1" // another bucket of addresses
			return a.SignIn(w, r, "ada@example.com", tenancy.NewSecret("not that password, no"))
		})
		if errors.Is(err, tenancy.ErrLimited) {
			break
		}
	}
	if !errors.Is(err, tenancy.ErrLimited) {
		t.Fatalf("got %v, want the stranger limited", err)
	}
	if err := a.ChangePassword(httptest.NewRecorder(), ada.request(t), tenancy.NewSecret(password), tenancy.NewSecret(otherPassword)); err != nil {
		t.Errorf("changing the password: %v", err)
	}
}

// What cannot be an address is put aside by its length, before anything reads it.
func TestLongAddresses(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), nil)
	long := strings.Repeat("a", 254-len("@example.com")) + "@example.com"
	if _, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: long, Role: auth.RoleViewer, Password: password}); err != nil {
		t.Errorf("254 bytes: %v", err)
	}
	var field *auth.FieldError
	if _, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "a" + long, Role: auth.RoleViewer, Password: password}); !errors.As(err, &field) || field.Field != "email" {
		t.Errorf("255 bytes: got %v, want a FieldError", err)
	}
}

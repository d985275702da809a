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

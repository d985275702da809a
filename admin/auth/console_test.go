package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const otherPassword = "a new horse, another staple"

// make returns a new operator.
func makeOperator(t *testing.T, a *auth.Auth, email, role string, scope tenancy.Scope) *auth.Operator {
	t.Helper()
	o, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: email, Role: role, Scope: scope, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (b *browser) identify(t *testing.T, a *auth.Auth) (*auth.Identity, error) {
	t.Helper()
	return a.Identify(b.request(t))
}

// bearer returns a request of a machine from an address.
func bearer(t *testing.T, text tenancy.Secret, from string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://localhost/", nil).WithContext(t.Context())
	r.RemoteAddr = from + ":1234"
	r.Header.Set("Authorization", "Bearer "+text.Reveal())
	return r
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		makeOperator(t, a, "ada@example.com", auth.RoleOwner, tenancy.AllTenants())
		var b, other browser
		for _, each := range []*browser{&b, &other} {
			if _, err := each.signIn(t, a, "ada@example.com", password); err != nil {
				t.Fatal(err)
			}
		}
		change := func(old, new string) error {
			w := httptest.NewRecorder()
			err := a.ChangePassword(w, b.request(t), tenancy.NewSecret(old), tenancy.NewSecret(new))
			b.keep(w)
			return err
		}
		if err := change("not the old password", otherPassword); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("wrong old password: got %v, want ErrUnauthenticated", err)
		}
		var field *auth.FieldError
		if err := change(password, "short"); !errors.As(err, &field) {
			t.Errorf("weak password: got %v, want a FieldError", err)
		}
		before := b.cookies["__Host-tenancy"]
		if err := change(password, otherPassword); err != nil {
			t.Fatal(err)
		}
		if b.cookies["__Host-tenancy"] == before {
			t.Error("the session kept its token")
		}
		if _, err := b.identify(t, a); err != nil {
			t.Errorf("this session: got %v, want it to go on", err)
		}
		if _, err := other.identify(t, a); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("another session: got %v, want it ended", err)
		}
		if _, err := other.signIn(t, a, "ada@example.com", password); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the old password: got %v, want ErrUnauthenticated", err)
		}
		if _, err := other.signIn(t, a, "ada@example.com", otherPassword); err != nil {
			t.Errorf("the new password: %v", err)
		}
	})
}

// A link for a new password works once, does not skip the second factor, and ends all sessions.
func TestReset(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, nil)
		ada := makeOperator(t, a, "ada@example.com", auth.RoleViewer, tenancy.ByTags("eu"))
		makeOperator(t, a, "eve@example.com", auth.RoleSecurity, tenancy.ByTags("us"))
		makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		var b, admin, eve browser
		for email, each := range map[string]*browser{"ada@example.com": &b, "root@example.com": &admin, "eve@example.com": &eve} {
			if _, err := each.signIn(t, a, email, password); err != nil {
				t.Fatal(err)
			}
			each.enrol(t, a)
		}
		who := func(b *browser) *auth.Identity {
			id, err := b.identify(t, a)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		if _, _, err := a.NewReset(t.Context(), who(&eve), ada.ID); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("by somebody with another scope: got %v, want ErrForbidden", err)
		}
		if _, _, err := a.NewReset(t.Context(), who(&admin), who(&admin).Operator.ID); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("for oneself: got %v, want ErrForbidden", err)
		}
		token, expires, err := a.NewReset(t.Context(), who(&admin), ada.ID)
		if err != nil || time.Until(expires) > time.Hour {
			t.Fatalf("got %v, %v", expires, err)
		}
		reset := func(token tenancy.Secret, password string) error {
			return a.Reset((&browser{}).request(t), token, tenancy.NewSecret(password))
		}
		var field *auth.FieldError
		if err := reset(token, "short"); !errors.As(err, &field) {
			t.Errorf("weak: got %v, want a FieldError", err)
		}
		if err := reset(tenancy.NewSecret("x"), otherPassword); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("no link: got %v, want ErrUnauthenticated", err)
		}
		var won, lost int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				err := reset(token, otherPassword)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, tenancy.ErrUnauthenticated), errors.Is(err, tenancy.ErrLimited):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won != 1 || lost != 9 {
			t.Errorf("got %d that won, %d that lost, want 1 and 9", won, lost)
		}
		if _, err := b.identify(t, a); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the old session: got %v, want it ended", err)
		}
		if id, err := b.signIn(t, a, "ada@example.com", otherPassword); err != nil || id.Session.Stage != auth.StageFactor {
			t.Errorf("got %+v, %v, want the second factor asked for", id, err)
		}
	})
}

// mailbox keeps mails.
type mailbox chan *auth.Mail

func (m mailbox) SendMail(_ context.Context, mail *auth.Mail) error { m <- mail; return nil }

// A forgotten password is mailed to who has an account; nobody else hears of it, nor whether it is one.
func TestForgot(t *testing.T) {
	t.Parallel()
	mails, log := make(mailbox, 10), &book{}
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true, Mail: mails, URL: "https://console.example.com/", Auditor: log})
	makeOperator(t, a, "ada@example.com", auth.RoleOwner, tenancy.AllTenants())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for _, email := range []string{"nobody@example.com", "ada@example.com"} {
		if err := a.Forgot((&browser{}).request(t), email); err != nil {
			t.Errorf("%s: %v", email, err)
		}
	}
	m := <-mails
	if e := log.last("operator.reset"); e.Actor.Kind != tenancy.ActorUnknown || e.Actor.ID != "" || e.Actor.Address != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got the actor %+v, want whoever asked, by their address", e.Actor)
	}
	link := m.Link.Reveal()
	if m.To != "ada@example.com" || !strings.HasPrefix(link, "https://console.example.com/#/reset?token=") {
		t.Errorf("got %+v to %s", m, link)
	}
	if err := a.Reset((&browser{}).request(t), tenancy.NewSecret(strings.TrimPrefix(link, "https://console.example.com/#/reset?token=")), tenancy.NewSecret(otherPassword)); err != nil {
		t.Fatal(err)
	}
	if m := <-mails; m.Kind != auth.MailPasswordChanged || m.To != "ada@example.com" {
		t.Errorf("got %+v, want the notice", m)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(mails) > 0 {
		t.Errorf("got another mail: %+v", <-mails)
	}
}

// A machine has what it was granted of what its owner has at that moment.
func TestTokens(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		o := makeOperator(t, a, "ada@example.com", auth.RoleSecurity, tenancy.ByTags("eu", "us"))
		var b browser
		by, err := b.signIn(t, a, "ada@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		spec := auth.TokenSpec{Name: "ci", Permissions: auth.NewPermissions(auth.TenantsRead, auth.AuditExport), StepUp: auth.NewPermissions(auth.AuditExport), Scope: tenancy.ByTags("eu"),
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, TTL: time.Hour}
		for name, change := range map[string]func(*auth.TokenSpec){
			"more permissions": func(s *auth.TokenSpec) { s.Permissions |= auth.NewPermissions(auth.TenantsPurge); s.StepUp = 0 },
			"a wider scope":    func(s *auth.TokenSpec) { s.Scope = tenancy.AllTenants() },
		} {
			wrong := spec
			change(&wrong)
			if _, _, err := a.IssueToken(t.Context(), by, wrong); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s: got %v, want ErrForbidden", name, err)
			}
		}
		for name, change := range map[string]func(*auth.TokenSpec){
			"no name":        func(s *auth.TokenSpec) { s.Name = " " },
			"no end":         func(s *auth.TokenSpec) { s.TTL = 0 },
			"two years":      func(s *auth.TokenSpec) { s.TTL = 2 * 366 * 24 * time.Hour },
			"tokens":         func(s *auth.TokenSpec) { s.Permissions |= auth.NewPermissions(auth.TokensWrite) },
			"nothing":        func(s *auth.TokenSpec) { s.Permissions, s.StepUp = 0, 0 },
			"a step-up more": func(s *auth.TokenSpec) { s.StepUp = auth.NewPermissions(auth.AuditVerify) },
			"nobody":         func(s *auth.TokenSpec) { s.Scope = tenancy.Scope{} },
		} {
			wrong := spec
			change(&wrong)
			var field *auth.FieldError
			if _, _, err := a.IssueToken(t.Context(), by, wrong); !errors.As(err, &field) {
				t.Errorf("%s: got %v, want a FieldError", name, err)
			}
		}
		text, made, err := a.IssueToken(t.Context(), by, spec)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Get(&n, db.Rebind(`SELECT COUNT(*) FROM tenancy_auth_tokens WHERE token_hash = ? OR name = ?`), text.Reveal(), text.Reveal()); err != nil || n != 0 {
			t.Errorf("got %d rows with the text, %v, want none", n, err)
		}
		id, err := a.Identify(bearer(t, text, "127.0.0.1"))
		if err != nil || id.Permissions != spec.Permissions || id.Scope.String() != spec.Scope.String() || id.Actor() != (tenancy.Actor{Kind: tenancy.ActorToken, ID: made.ID}) {
			t.Fatalf("got %+v, %v, want what was granted", id, err)
		}
		if id.Fresh() || !id.FreshFor(auth.AuditExport) || id.FreshFor(auth.TenantsRead) {
			t.Error("want a step-up for what was named alone")
		}
		if used, err := a.Token(t.Context(), made.ID); err != nil || used.UsedAt.IsZero() || used.UsedFrom.String() != "127.0.0.1" {
			t.Errorf("got %+v, %v, want its last use", used, err)
		}
		if _, err := a.Identify(bearer(t, text, "192.0.2.1")); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("from elsewhere: got %v, want ErrForbidden", err)
		}
		r := bearer(t, text, "127.0.0.1")
		r.AddCookie(&http.Cookie{Name: "__Host-tenancy", Value: b.cookies["__Host-tenancy"]})
		if _, err := a.Identify(r); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a cookie beside a token: got %v, want ErrInvalid", err)
		}
		another := "x"
		if strings.HasSuffix(text.Reveal(), another) {
			another = "y"
		}
		for _, wrong := range []string{"x", text.Reveal()[:len(text.Reveal())-1] + another, strings.Replace(text.Reveal(), o.ID, by.Session.ID, 1), ""} {
			if _, err := a.Identify(bearer(t, tenancy.NewSecret(wrong), "127.0.0.1")); !errors.Is(err, tenancy.ErrUnauthenticated) {
				t.Errorf("a token that is none: got %v, want ErrUnauthenticated", err)
			}
		}
		// The old one and its successor live side by side until the old one's time is over.
		next, _, err := a.RotateToken(t.Context(), by, made.ID, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []tenancy.Secret{text, next} {
			if _, err := a.Identify(bearer(t, each, "127.0.0.1")); err != nil {
				t.Errorf("while rotating: %v", err)
			}
		}
		if _, _, err := a.RotateToken(t.Context(), by, made.ID, 0); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("rotated twice: got %v, want ErrConflict", err)
		}
		// The owner loses rights, and with them the machine.
		narrow, viewer := tenancy.ByTags("us"), auth.RoleViewer
		o, err = a.UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Scope: &narrow, Role: &viewer})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := a.Identify(bearer(t, next, "127.0.0.1")); err != nil || id.Permissions != auth.NewPermissions(auth.TenantsRead) || !id.Scope.IsZero() {
			t.Errorf("got %+v, %v, want less", id, err)
		}
		if err := a.RevokeToken(t.Context(), by, made.ID); err != nil {
			t.Error(err)
		}
		if _, err := a.Identify(bearer(t, text, "127.0.0.1")); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("revoked: got %v, want ErrUnauthenticated", err)
		}
		disabled := true
		if _, err := a.UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Disabled: &disabled}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Identify(bearer(t, next, "127.0.0.1")); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("of a disabled operator: got %v, want ErrUnauthenticated", err)
		}
	})
}

func prefixesOf(texts ...string) []netip.Prefix {
	out := []netip.Prefix{}
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Rules about addresses count from the next request on, lock nobody out who sets them, and not every owner.
func TestIPRules(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		owner := makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		makeOperator(t, a, "sec@example.com", auth.RoleSecurity, tenancy.AllTenants())
		viewer := makeOperator(t, a, "view@example.com", auth.RoleViewer, tenancy.AllTenants())
		var b, sec, view browser
		by, err := b.signIn(t, a, "root@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		security, err := sec.signIn(t, a, "sec@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := view.signIn(t, a, "view@example.com", password); err != nil {
			t.Fatal(err)
		}
		var field *auth.FieldError
		elsewhere := auth.IPRules{All: prefixesOf("192.0.2.0/24")}
		if err := a.SetIPRules(t.Context(), by, 1, elsewhere); !errors.As(err, &field) || field.Code != "locks-out-you" {
			t.Errorf("got %v, want locks-out-you", err)
		}
		if out, err := a.CheckIPRules(t.Context(), by, elsewhere); err != nil || !out.You || !out.Owners || len(out.Sessions) != 3 {
			t.Errorf("got %+v, %v, want all locked out", out, err)
		}
		owners := auth.IPRules{Roles: map[string][]netip.Prefix{auth.RoleOwner: prefixesOf("192.0.2.0/24")}}
		if err := a.SetIPRules(t.Context(), security, 1, owners); !errors.As(err, &field) || field.Code != "locks-out-owners" {
			t.Errorf("got %v, want locks-out-owners", err)
		}
		rules := auth.IPRules{All: prefixesOf("127.0.0.0/8", "192.0.2.0/24"), Operators: map[string][]netip.Prefix{viewer.ID: prefixesOf("192.0.2.0/24")}}
		if err := a.SetIPRules(t.Context(), by, 7, rules); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("another version: got %v, want ErrConflict", err)
		}
		if err := a.SetIPRules(t.Context(), by, 1, rules); err != nil {
			t.Fatal(err)
		}
		if _, err := view.identify(t, a); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("got %v, want the viewer refused", err)
		}
		if _, err := view.signIn(t, a, "view@example.com", password); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("signing in: got %v, want the answer to a wrong password", err)
		}
		if _, err := b.identify(t, a); err != nil {
			t.Errorf("the owner: %v", err)
		}
		// An owner who is locked out is let in by a link from the machine.
		if err := a.SetIPRules(t.Context(), by, 2, auth.IPRules{Operators: map[string][]netip.Prefix{owner.ID: prefixesOf("127.0.0.0/8")}}); err != nil {
			t.Fatal(err)
		}
		r := b.request(t)
		r.RemoteAddr = "198.51.100.1:1"
		r.TLS = nil
		if _, err := a.Identify(r); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("from elsewhere: got %v, want ErrForbidden", err)
		}
	})
}

// Rules do not go by the session of an owner that nobody uses any more, nor by one of somebody who has only their password.
func TestLockoutGoesByOwnersWhoAreThere(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"idle":                `UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - 1801000000 WHERE operator_id = ?`,
		"without a factor":    `UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"full"', '"second-factor"') WHERE operator_id = ?`,
		"before an enrolment": `UPDATE tenancy_auth_sessions SET data = REPLACE(data, '"full"', '"enrol"') WHERE operator_id = ?`,
	} {
		a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
		owner := makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		makeOperator(t, a, "sec@example.com", auth.RoleSecurity, tenancy.AllTenants())
		var sec browser
		if _, err := new(browser).signIn(t, a, "root@example.com", password); err != nil {
			t.Fatal(err)
		}
		by, err := sec.signIn(t, a, "sec@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		here := auth.IPRules{Roles: map[string][]netip.Prefix{auth.RoleOwner: prefixesOf("127.0.0.0/8")}}
		if out, err := a.CheckIPRules(t.Context(), by, here); err != nil || out.Owners {
			t.Fatalf("got %+v, %v, want an owner who can come in", out, err)
		}
		if _, err := db.Exec(statement, owner.ID); err != nil {
			t.Fatal(err)
		}
		var field *auth.FieldError
		if err := a.SetIPRules(t.Context(), by, 1, here); !errors.As(err, &field) || field.Code != "locks-out-owners" {
			t.Errorf("%s: got %v, want locks-out-owners", name, err)
		}
	}
}

// Of owners who are locked out one gets in by a link that is made on the machine: once, with a new password and a new second factor.
func TestRescue(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, nil)
		makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		makeOperator(t, a, "view@example.com", auth.RoleViewer, tenancy.AllTenants())
		var b browser
		if _, err := b.signIn(t, a, "root@example.com", password); err != nil {
			t.Fatal(err)
		}
		b.enrol(t, a)
		// Somebody wrote rules that let nobody in.
		if _, err := db.Exec(`UPDATE tenancy_auth_documents SET body = '{"all":["192.0.2.0/24"]}' WHERE name = 'ip-rules'`); err != nil {
			t.Fatal(err)
		}
		if _, err := b.identify(t, a); !errors.Is(err, tenancy.ErrForbidden) {
			t.Fatalf("got %v, want everybody locked out", err)
		}
		for _, email := range []string{"view@example.com", "nobody@example.com"} {
			if _, _, err := a.Rescue(t.Context(), email); !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", email, err)
			}
		}
		token, expires, err := a.Rescue(t.Context(), "Root@example.com")
		if err != nil || time.Until(expires) > 15*time.Minute {
			t.Fatalf("got %v, %v", expires, err)
		}
		use := func() (*auth.Identity, error) {
			return b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
				return a.UseRescue(w, r, token, tenancy.NewSecret(otherPassword))
			})
		}
		id, err := use()
		if err != nil || id.Session.Stage != auth.StageEnrol {
			t.Fatalf("got %+v, %v, want a second factor to be enrolled", id, err)
		}
		b.enrol(t, a)
		if id, err := b.identify(t, a); err != nil || id.Session.Stage != auth.StageFull {
			t.Errorf("got %+v, %v, want the session to pass the rules", id, err)
		}
		if _, err := use(); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("again: got %v, want ErrUnauthenticated", err)
		}
		if all, err := a.Rescues(t.Context()); err != nil || len(all) != 1 || all[0].UsedAt.IsZero() {
			t.Errorf("got %+v, %v, want it to need attention", all, err)
		}
	})
}

// Settings count from the next request on, and for sessions that begin.
func TestSettings(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		makeOperator(t, a, "root@example.com", auth.RoleOwner, tenancy.AllTenants())
		number := func(n int64) *int64 { return &n }
		var field *auth.FieldError
		if err := a.SetSettings(t.Context(), 1, auth.Settings{IdleTimeout: number(1)}); !errors.As(err, &field) {
			t.Errorf("a second: got %v, want a FieldError", err)
		}
		var early browser
		if id, err := early.signIn(t, a, "root@example.com", password); err != nil || id.Session.Stage != auth.StageFull {
			t.Fatalf("got %+v, %v, want a full session", id, err)
		}
		required := true
		if err := a.SetSettings(t.Context(), 1, auth.Settings{Lifetime: number(600), IdleTimeout: number(120), SecondFactor: &required}); err != nil {
			t.Fatal(err)
		}
		if err := a.SetSettings(t.Context(), 1, auth.Settings{}); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("an old version: got %v, want ErrConflict", err)
		}
		if id, err := early.identify(t, a); err != nil || id.Session.Stage != auth.StageEnrol {
			t.Errorf("a session that began before: got %+v, %v, want a second factor asked for", id, err)
		}
		if _, err := early.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
			return a.StepUp(w, r, tenancy.NewSecret(password), tenancy.Secret{})
		}); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("a step-up without one: got %v, want ErrUnauthenticated", err)
		}
		early.enrol(t, a)
		if id, err := early.identify(t, a); err != nil || id.Session.Stage != auth.StageFull {
			t.Errorf("after enrolment: got %+v, %v, want a full session", id, err)
		}
		if _, err := db.Exec(`UPDATE tenancy_auth_operators SET totp_confirmed = 0`); err != nil {
			t.Fatal(err)
		}
		var b browser
		id, err := b.signIn(t, a, "root@example.com", password)
		if err != nil || id.Session.Stage != auth.StageEnrol || time.Until(id.Session.ExpiresAt) > 10*time.Minute {
			t.Fatalf("got %+v, %v, want ten minutes and a second factor", id, err)
		}
		if _, err := db.Exec(db.Rebind(`UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - ?`), 3*time.Minute.Microseconds()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.identify(t, a); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("idle for three minutes: got %v, want it ended", err)
		}
	})
}

// A header names an operator in requests of the proxy alone.
func TestTrustedHeader(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies(prefixesOf("10.0.0.0/8"), nil)
	if err != nil {
		t.Fatal(err)
	}
	sso, err := auth.TrustedHeader(proxies, "x-forwarded-email", func(_ context.Context, user string) (*auth.Principal, error) {
		if user != "ada@example.com" {
			return nil, tenancy.ErrUnauthenticated
		}
		return &auth.Principal{ID: user, Email: user, Name: "Ada", Permissions: auth.NewPermissions(auth.TenantsRead), Scope: tenancy.ByTags("eu")}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{Authenticator: sso})
	ask := func(from string, values ...string) (*auth.Identity, error) {
		r := httptest.NewRequest(http.MethodGet, "https://console.example.com/", nil).WithContext(t.Context())
		r.RemoteAddr = from + ":1"
		r.Header["X-Forwarded-Email"] = values
		return a.Identify(r)
	}
	id, err := ask("10.1.2.3", "ada@example.com")
	if err != nil || id.Operator.Name != "Ada" || !id.Fresh() || id.Permissions != auth.NewPermissions(auth.TenantsRead) || id.Actor().ID != "ada@example.com" {
		t.Errorf("got %+v, %v, want Ada", id, err)
	}
	for name, err := range map[string]error{
		"past the proxy": second(ask("192.0.2.1", "ada@example.com")), "nobody": second(ask("10.1.2.3", "eve@example.com")),
		"no header": second(ask("10.1.2.3")), "two": second(ask("10.1.2.3", "ada@example.com", "ada@example.com")), "empty": second(ask("10.1.2.3", "")),
	} {
		if !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("%s: got %v, want ErrUnauthenticated", name, err)
		}
	}
}

func second(_ *auth.Identity, err error) error { return err }

// neverRefilled is a limiter whose buckets stay empty for as long as any test takes.
type neverRefilled struct{ ratelimit.Limiter }

func (l neverRefilled) Take(ctx context.Context, limits []ratelimit.Limit) (bool, error) {
	for i := range limits {
		limits[i].Rate.Period *= 10_000
	}
	return l.Limiter.Take(ctx, limits)
}

// Strangers who guess an operator's password do not keep the operator out of a browser in which they signed in before.
func TestKnownBrowsers(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	db := s.Database(t)
	a, err := auth.New(db, &auth.Options{OptionalSecondFactor: true, PasswordWait: patience, Limiter: neverRefilled{ratelimit.NewMemory(nil)}})
	if err == nil {
		err = a.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	makeOperator(t, a, "ada@example.com", auth.RoleOwner, tenancy.AllTenants())
	makeOperator(t, a, "eve@example.com", auth.RoleViewer, tenancy.AllTenants())
	var known, other, stranger browser
	if _, err := known.signIn(t, a, "ada@example.com", password); err != nil {
		t.Fatal(err)
	}
	if _, err := other.signIn(t, a, "eve@example.com", password); err != nil {
		t.Fatal(err)
	}
	for range 40 { // until the account's bucket, and the address's, are empty
		if _, err = stranger.signIn(t, a, "ada@example.com", "not that password, no"); errors.Is(err, tenancy.ErrLimited) {
			break
		}
	}
	if !errors.Is(err, tenancy.ErrLimited) {
		t.Fatalf("got %v, want the stranger limited", err)
	}
	if _, err := known.signIn(t, a, "ada@example.com", password); err != nil {
		t.Errorf("the browser that is known: %v", err)
	}
	if _, err := other.signIn(t, a, "ada@example.com", password); !errors.Is(err, tenancy.ErrLimited) {
		t.Errorf("a browser that is known for somebody else: got %v, want ErrLimited", err)
	}
}

// Who rotates a token again and again, and lets the old ones be valid, does not get any number of them.
func TestRotatedTokensAreBounded(t *testing.T) {
	t.Parallel()
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true})
	makeOperator(t, a, "ada@example.com", auth.RoleOwner, tenancy.AllTenants())
	var b browser
	by, err := b.signIn(t, a, "ada@example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	_, made, err := a.IssueToken(t.Context(), by, auth.TokenSpec{Name: "ci", Permissions: auth.NewPermissions(auth.TenantsRead), Scope: tenancy.AllTenants(), TTL: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	n := 1
	for ; n < 200; n++ {
		_, next, err := a.RotateToken(t.Context(), by, made.ID, time.Hour)
		if errors.Is(err, tenancy.ErrConflict) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		made = next
	}
	if n != 100 {
		t.Errorf("got %d valid tokens, want 100 at most", n)
	}
}

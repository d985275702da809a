package auth_test

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func (b *browser) accept(t *testing.T, a *auth.Auth, token tenancy.Secret, password string) (*auth.Identity, error) {
	t.Helper()
	return b.do(t, func(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
		return a.Accept(w, r, token, tenancy.NewSecret(password))
	})
}

func TestInvitationOneOfManyWins(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, nil)
		by := owner(t, a)
		token, _, err := a.Invite(t.Context(), by, auth.OperatorSpec{Email: "vic@example.com", Role: auth.RoleViewer, Scope: tenancy.ByTags("eu")})
		if err != nil {
			t.Fatal(err)
		}
		var field *auth.FieldError
		if _, err := new(browser).accept(t, a, token, "short"); !errors.As(err, &field) || field.Field != "password" {
			t.Errorf("a weak password: got %v, want a field error", err)
		}
		var won atomic.Int64
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				id, err := new(browser).accept(t, a, token, password)
				switch {
				case err == nil:
					won.Add(1)
					if id.Operator.Role != auth.RoleViewer || id.Operator.Scope.String() != tenancy.ByTags("eu").String() || id.Session.Stage != auth.StageEnrol {
						t.Errorf("got %+v, want a viewer of eu who must enrol", id.Operator)
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
	})
}

func TestInvitationsGrantNoMore(t *testing.T) {
	t.Parallel()
	a, db := newAuth(t, tenancytest.NewServer(t, "sqlite"), nil)
	boss := owner(t, a)
	security, err := a.CreateOperator(t.Context(), auth.OperatorSpec{Email: "sec@example.com", Role: auth.RoleSecurity, Scope: tenancy.ByTags("eu"), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []auth.OperatorSpec{
		{Email: "x@example.com", Role: auth.RoleOwner, Scope: tenancy.ByTags("eu")}, {Email: "x@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants()},
		{Email: "x@example.com", Role: auth.RoleViewer, Scope: tenancy.ByTags("eu", "us")},
	} {
		if _, _, err := a.Invite(t.Context(), security, spec); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%s of %s: got %v, want forbidden", spec.Role, spec.Scope, err)
		}
	}
	invite := func(email string) tenancy.Secret {
		token, _, err := a.Invite(t.Context(), security, auth.OperatorSpec{Email: email, Role: auth.RoleViewer, Scope: tenancy.ByTags("eu")})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	// An address that has an account is invited like any other, and nothing comes of it.
	if _, err := new(browser).accept(t, a, invite("ada@example.com"), password); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("an address with an account: got %v, want unauthenticated", err)
	}
	late, gone := invite("late@example.com"), invite("gone@example.com")
	if _, err := db.Exec(`UPDATE tenancy_auth_invitations SET expires_at = 1 WHERE email = 'late@example.com'`); err != nil {
		t.Fatal(err)
	}
	if _, err := new(browser).accept(t, a, late, password); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("an old invitation: got %v, want unauthenticated", err)
	}
	role := auth.RoleViewer
	if _, err := a.UpdateOperator(t.Context(), security.ID, security.Version, boss.ID, auth.OperatorChange{Role: &role}); err != nil {
		t.Fatal(err)
	}
	if _, err := new(browser).accept(t, a, gone, password); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("an invitation of somebody who may not any more: got %v, want unauthenticated", err)
	}
}

// The owner of an invitation's link is not its inviter: the entry names the invited address as the object, and the inviter apart.
func TestInvitationsNameTheInviterApart(t *testing.T) {
	t.Parallel()
	log := &book{}
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{OptionalSecondFactor: true, Auditor: log})
	boss := owner(t, a)
	token, _, err := a.Invite(t.Context(), boss, auth.OperatorSpec{Email: "new@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(browser).accept(t, a, token, otherPassword); err != nil {
		t.Fatal(err)
	}
	e := log.last("operator.create")
	if e.Actor.Kind != tenancy.ActorUnknown || e.Actor.Address != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got the actor %+v, want somebody from 127.0.0.1", e.Actor)
	}
	if i := slices.IndexFunc(e.Changes, func(c tenancy.FieldChange) bool { return c.Field == "invited_by" }); i < 0 || string(e.Changes[i].After) != `"`+boss.ID+`"` {
		t.Errorf("got %+v, want the inviter", e.Changes)
	}
}

package auth_test

import (
	"context"
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// An owner lets somebody in again who has lost their second factor: it is gone with its codes and all sessions, and a new one is enrolled.
func TestResetSecondFactor(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		mails, log := make(mailbox, 10), &book{}
		a, db := newAuth(t, s, &auth.Options{Auditor: log, Mail: mails, URL: "https://console.example.com/"})
		var boss, peer, view browser
		who := map[string]*auth.Identity{}
		for email, b := range map[string]*browser{"root@example.com": &boss, "sec@example.com": &peer, "view@example.com": &view} {
			role := map[string]string{"root@example.com": auth.RoleOwner, "sec@example.com": auth.RoleSecurity, "view@example.com": auth.RoleViewer}[email]
			makeOperator(t, a, email, role, tenancy.AllTenants())
			if _, err := b.signIn(t, a, email, password); err != nil {
				t.Fatal(err)
			}
			b.enrol(t, a)
			id, err := b.identify(t, a)
			if err != nil {
				t.Fatal(err)
			}
			who[role] = id
		}
		viewer := who[auth.RoleViewer].Operator.ID
		for name, by := range map[string]string{"who could make a reset link": auth.RoleSecurity, "oneself": auth.RoleViewer} {
			if err := a.ResetSecondFactor(t.Context(), who[by], viewer); !errors.Is(err, tenancy.ErrForbidden) {
				t.Errorf("%s: got %v, want ErrForbidden", name, err)
			}
		}
		owner := who[auth.RoleOwner]
		if err := a.ResetSecondFactor(t.Context(), owner, owner.Operator.ID); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("an owner's own: got %v, want ErrForbidden", err)
		}
		if err := a.ResetSecondFactor(tenancy.WithActor(t.Context(), owner.Actor()), owner, viewer); err != nil {
			t.Fatal(err)
		}
		if err := a.ResetSecondFactor(t.Context(), owner, viewer); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("again: got %v, want ErrConflict", err)
		}
		if e := log.last("operator.factor_reset"); e.Object != viewer || e.Actor.ID != owner.Operator.ID {
			t.Errorf("got %+v, want the owner on the record", e)
		}
		if _, err := view.identify(t, a); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the session: got %v, want it ended", err)
		}
		var codes int
		if err := db.Get(&codes, db.Rebind(`SELECT COUNT(*) FROM tenancy_auth_recovery_codes WHERE operator_id = ?`), viewer); err != nil || codes != 0 {
			t.Errorf("got %d recovery codes, %v, want none", codes, err)
		}
		if id, err := view.signIn(t, a, "view@example.com", password); err != nil || id.Session.Stage != auth.StageEnrol {
			t.Fatalf("got %+v, %v, want an enrolment", id, err)
		}
		view.enrol(t, a)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		if m := <-mails; m.Kind != auth.MailFactorReset || m.To != "view@example.com" {
			t.Errorf("got %+v, want a mail to who it was", m)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// New recovery codes take the place of the old ones.
func TestNewRecoveryCodes(t *testing.T) {
	t.Parallel()
	mails, log := make(mailbox, 10), &book{}
	a, _ := newAuth(t, tenancytest.NewServer(t, "sqlite"), &auth.Options{Auditor: log, Mail: mails, URL: "https://console.example.com/"})
	o := owner(t, a)
	var b browser
	id, err := b.signIn(t, a, o.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.NewRecoveryCodes(t.Context(), id); !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("without a second factor: got %v, want ErrConflict", err)
	}
	_, _, old := b.enrol(t, a)
	codes, err := a.NewRecoveryCodes(t.Context(), id)
	if err != nil || len(codes) != 10 {
		t.Fatalf("got %d codes, %v, want ten", len(codes), err)
	}
	if e := log.last("operator.recovery_codes"); e.Object != o.ID {
		t.Errorf("got %+v, want it on the record", e)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if m := <-mails; m.Kind != auth.MailRecoveryCodes || m.To != o.Email {
		t.Errorf("got %+v, want a mail to the operator", m)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var again browser
	if _, err := again.signIn(t, a, o.Email, password); err != nil {
		t.Fatal(err)
	}
	if _, err := again.code(t, a, old[0].Reveal()); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("an old code: got %v, want ErrUnauthenticated", err)
	}
	if id, err := again.code(t, a, codes[0].Reveal()); err != nil || id.Session.Stage != auth.StageFull {
		t.Errorf("a new code: got %+v, %v, want a full session", id, err)
	}
}

// Sessions that began with a password alone end once the operator has a second factor.
func TestEnrolEndsOtherSessions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, _ := newAuth(t, s, &auth.Options{OptionalSecondFactor: true})
		owner(t, a)
		var ada, thief browser
		for _, b := range []*browser{&ada, &thief} {
			if id, err := b.signIn(t, a, "ada@example.com", password); err != nil || id.Session.Stage != auth.StageFull {
				t.Fatalf("got %+v, %v, want a full session", id, err)
			}
		}
		ada.enrol(t, a)
		if _, err := ada.identify(t, a); err != nil {
			t.Errorf("the session that enrolled: %v", err)
		}
		if id, err := thief.identify(t, a); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the other one: got %+v, %v, want it ended", id, err)
		}
	})
}

// A link for a new password works only as long as its maker may make it, and without a mailer only owners make one for somebody without a second factor:
// the maker sees it, and could sign in under that name.
func TestResetByWhoMayNoMore(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a, db := newAuth(t, s, nil)
		who, browsers := map[string]*auth.Identity{}, map[string]*browser{}
		for _, name := range []string{"root", "peer", "view"} {
			role := map[string]string{"root": auth.RoleOwner, "peer": auth.RoleSecurity, "view": auth.RoleViewer}[name]
			b := &browser{}
			makeOperator(t, a, name+"@example.com", role, tenancy.AllTenants())
			if _, err := b.signIn(t, a, name+"@example.com", password); err != nil {
				t.Fatal(err)
			}
			b.enrol(t, a)
			id, err := b.identify(t, a)
			if err != nil {
				t.Fatal(err)
			}
			who[name], browsers[name] = id, b
		}
		root, view := who["root"], who["view"].Operator.ID
		link := func() tenancy.Secret {
			token, _, err := a.NewReset(t.Context(), who["peer"], view)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		reset := func(token tenancy.Secret) error {
			return a.Reset((&browser{}).request(t), token, tenancy.NewSecret(otherPassword))
		}
		change := func(id string, c auth.OperatorChange) {
			t.Helper()
			o, err := a.Operator(t.Context(), id)
			if err == nil {
				_, err = a.UpdateOperator(t.Context(), id, o.Version, root.Operator.ID, c)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		more, less, yes, no := auth.RoleOwner, auth.RoleViewer, true, false
		token := link()
		change(view, auth.OperatorChange{Role: &more})
		if err := reset(token); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the other has more by now: got %v, want ErrUnauthenticated", err)
		}
		change(view, auth.OperatorChange{Role: &less})
		change(who["peer"].Operator.ID, auth.OperatorChange{Disabled: &yes})
		if err := reset(token); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("its maker is disabled: got %v, want ErrUnauthenticated", err)
		}
		change(who["peer"].Operator.ID, auth.OperatorChange{Disabled: &no})
		db.MustExec(db.Rebind(`INSERT INTO tenancy_auth_links (token_hash, kind, operator_id, made_by, created_at, expires_at, used_at) VALUES ('x', 'rescue', ?, '', 1, 1, 1)`), view)
		if err := a.ResetSecondFactor(t.Context(), root, view); err != nil {
			t.Fatal(err)
		}
		var kinds []string
		if err := db.Select(&kinds, db.Rebind(`SELECT kind FROM tenancy_auth_links WHERE operator_id = ?`), view); err != nil || len(kinds) != 1 || kinds[0] != "rescue" {
			t.Errorf("got links %q, %v, want the rescue alone, which the overview shows", kinds, err)
		}
		if err := reset(token); !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("the second factor was reset: got %v, want ErrUnauthenticated", err)
		}
		if _, _, err := a.NewReset(t.Context(), who["peer"], view); !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("for somebody without a second factor: got %v, want ErrForbidden", err)
		}
		token, _, err := a.NewReset(t.Context(), root, view)
		if err == nil {
			err = reset(token)
		}
		if err != nil {
			t.Errorf("by an owner: %v", err)
		}
	})
}

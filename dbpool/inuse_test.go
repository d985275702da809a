package dbpool

import (
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// A connection that is in use counts until it comes back, wherever its tenant is by then.
func TestInUseAfterItsHandleLeft(t *testing.T) {
	t.Parallel()
	at := func(server string, version int64) *tenancy.Tenant {
		return &tenancy.Tenant{ID: "acme", Version: version, Placement: tenancy.Placement{Server: server, Database: "acme"}}
	}
	for name, leave := range map[string]func(*testing.T, *Pool, driver.Engine) error{
		"another engine": func(_ *testing.T, p *Pool, e driver.Engine) error { return p.SetServer("a", e) },
		"a move": func(t *testing.T, p *Pool, _ driver.Engine) error {
			_, err := p.For(t.Context(), at("b", 2))
			return err
		},
		"forgotten": func(_ *testing.T, p *Pool, _ driver.Engine) error {
			p.Forget("acme")
			return nil
		},
		"a handle that was closed": func(t *testing.T, p *Pool, _ driver.Engine) error {
			db, err := p.For(t.Context(), at("a", 1))
			if err == nil {
				err = db.Close()
			}
			if err == nil {
				_, err = p.For(t.Context(), at("a", 1))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fakeServer{t: t, budget: 10}
			p, err := New(map[string]driver.Engine{"a": s, "b": s}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				db, err := p.For(t.Context(), at("a", 1))
				if err != nil {
					t.Fatal(err)
				}
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := leave(t, p, &fakeServer{t: t, budget: 10}); err != nil {
					t.Fatal(err)
				}
				if n := p.InUse("acme"); n != 1 {
					t.Errorf("got %d in use, want the one that somebody has", n)
				}
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				if n := p.InUse("acme"); n != 0 {
					t.Errorf("got %d in use after it came back, want none", n)
				}
				if n := len(p.left["acme"]); n > 1 {
					t.Errorf("got %d lanes remembered, want those forgotten that nobody uses", n)
				}
				p.Forget("acme")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

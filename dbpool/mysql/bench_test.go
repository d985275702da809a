package mysql_test

import (
	sqldriver "database/sql/driver"
	"testing"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// BenchmarkSwitch leads a connection to and fro between two databases, each time
// with the check whose it is; BenchmarkDial closes it and dials instead.
func BenchmarkSwitch(b *testing.B) {
	g := newGround(b, "")
	to := []sqldriver.Connector{connector(b, g.engine, g.a), connector(b, g.engine, g.b)}
	conn := open(b, to[0])
	for i := 0; b.Loop(); i++ {
		if err := g.engine.Switch(b.Context(), conn.Conn, to[i%2]); err != nil {
			b.Fatal(err)
		}
		if _, err := g.engine.Identify(b.Context(), conn.Conn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDial(b *testing.B) {
	g := newGround(b, "")
	to := []sqldriver.Connector{connector(b, g.engine, g.a), connector(b, g.engine, g.b)}
	for i := 0; b.Loop(); i++ {
		conn, err := to[i%2].Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := g.engine.Identify(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkState is a statement after which a session may have state, where the
// session is cleaned, and where its connection is closed.
func BenchmarkState(b *testing.B) {
	s := tenancytest.NewServer(b, "mysql")
	tenant := s.Tenant(b, "acme")
	for name, engine := range map[string]driver.Engine{"cleaned": s.Engine, "closed": struct{ driver.Engine }{s.Engine}} {
		b.Run(name, func(b *testing.B) {
			s := &tenancytest.Server{Name: s.Name, Engine: engine}
			db, err := s.Pool(b, nil).For(b.Context(), tenant)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var id int64
				if err := db.GetContext(b.Context(), &id, `SELECT LAST_INSERT_ID()`); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

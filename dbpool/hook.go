package dbpool

import (
	"context"
	sqldriver "database/sql/driver"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/wire"
)

// Session is a new session of a connection, for [Options.OnSession].
type Session struct {
	Tenant           tenancy.ID
	Server, Database string
	ReadOnly         bool
	// Conn is the driver's own connection, as [Unwrap] returns it. It must not be
	// kept.
	Conn sqldriver.Conn
}

// hook returns what calls the application's hook, or nil if there is none.
func (o *Options) hook() func(context.Context, *wire.Database, sqldriver.Conn) error {
	if o.OnSession == nil {
		return nil
	}
	return func(ctx context.Context, d *wire.Database, conn sqldriver.Conn) error {
		return o.OnSession(ctx, Session{d.Tenant, d.Lane.Server().Name(), d.Name, d.ReadOnly, conn})
	}
}

package maintenance_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// faultyConnector makes connections whose transactions fail as at says.
type faultyConnector struct {
	driver.Connector
	at *string // "begin", "write", "commit", "hang", or "" for no fault
}

func (c faultyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyConn{conn.(sqlConn), c.at}, nil
}

type sqlConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
}

type faultyConn struct {
	sqlConn
	at *string
}

var errFault = errors.New("connection reset")

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if *c.at == "begin" {
		return nil, errFault
	}
	tx, err := c.sqlConn.BeginTx(ctx, opts)
	return &faultyTx{tx, ctx, c.at}, err
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if *c.at == "write" {
		return nil, errFault
	}
	return c.sqlConn.ExecContext(ctx, query, args)
}

// faultyTx does not commit, and says so or is silent until its context ends.
type faultyTx struct {
	driver.Tx
	ctx context.Context // as drivers have it
	at  *string
}

func (t *faultyTx) Commit() error {
	switch *t.at {
	case "commit":
		return errors.Join(errFault, t.Rollback())
	case "hang":
		<-t.ctx.Done()
		return errors.Join(t.ctx.Err(), t.Rollback())
	}
	return t.Tx.Commit()
}

// rolledBack is an auditor whose entries in transactions are rolled back. It fails as one in a database does.
type rolledBack struct {
	kept  tenancytest.Audit
	fails bool // in transactions
}

func (a *rolledBack) Audit(ctx context.Context, tx *sql.Tx, e tenancy.Entry) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case tx != nil && a.fails:
		return errFault
	case tx != nil:
		return nil
	}
	return a.kept.Audit(ctx, tx, e)
}

// The audit says that nobody knows of a change where the answer to the commit was lost, and there alone.
func TestServiceLostAnswerIsAudited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at    string
		audit bool // the entry in the transaction fails
		want  int  // entries that say "unknown"
	}{{"begin", false, 0}, {"write", false, 0}, {"", true, 0}, {"commit", false, 1}, {"hang", false, 1}} {
		s := tenancytest.NewServer(t, "sqlite")
		connector, err := s.Engine.Connector(s.Tenant(t, "database").Placement.Database)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			at := ""
			db := sqlx.NewDb(sql.OpenDB(faultyConnector{connector, &at}), s.Engine.DriverName())
			defer db.Close()
			trail := &rolledBack{fails: tt.audit}
			k := newRig(t, maintenance.GateOptions{DB: db, Audit: trail})
			if err := k.gate.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			at = tt.at
			if err := k.gate.Service().Begin(t.Context(), tenancy.Maintenance{}); !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q: got %v, want ErrUnavailable", tt.at, err)
			}
			all := trail.kept.All()
			if len(all) != tt.want {
				t.Errorf("%q, the audit fails %v: got %+v, want %d entries", tt.at, tt.audit, all, tt.want)
			}
			for _, e := range all {
				if e.Action != "maintenance.begin" || e.Result != tenancy.AuditUnknown || len(e.Changes) != 1 {
					t.Errorf("%q: got %+v, want the change, unknown", tt.at, e)
				}
			}
		})
	}
}

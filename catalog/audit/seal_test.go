package audit_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

// busy is a database whose pool has no connection free.
type busy struct{}

func (busy) Connect(context.Context) (driver.Conn, error) {
	return nil, fmt.Errorf("%w: no connection is free", tenancy.ErrLimited)
}

func (busy) Driver() driver.Driver { return nil }

// ends is a log that ends something when it has a line.
type ends struct {
	text strings.Builder
	end  context.CancelFunc
}

func (e *ends) Write(line []byte) (int, error) {
	defer e.end()
	return e.text.Write(line)
}

// A database without a free connection does not look as if another instance sealed: it is logged.
func TestSealerWithoutAConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	log := &ends{end: cancel}
	db := sqlx.NewDb(sql.OpenDB(busy{}), "sqlite")
	defer func() { _ = db.Close() }()
	trail, err := audit.New(db, &audit.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		err = trail.Run(ctx)
	}
	if err != nil || !strings.Contains(log.text.String(), "no connection is free") {
		t.Errorf("got %v and the log %q", err, log.text.String())
	}
}

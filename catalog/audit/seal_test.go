package audit_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// A database without a free connection does not look as if another instance sealed: it is logged.
func TestSealerWithoutAConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	log := &testserver.LastLine{Cancel: cancel}
	db := testserver.Crowded(t)
	trail, err := audit.New(db, &audit.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		err = trail.Run(ctx)
	}
	if err != nil || !strings.Contains(log.String(), "no connection is free") {
		t.Errorf("got %v and the log %q", err, log.String())
	}
}

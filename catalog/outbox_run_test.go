package catalog_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// A database without a free connection does not look as if another instance delivered: it is logged.
func TestOutboxWithoutAConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	log := &testserver.LastLine{Cancel: cancel}
	db := testserver.Crowded(t)
	o, err := catalog.NewOutbox(db, &catalog.OutboxOptions{Deliver: func(context.Context, catalog.Event) error { return nil }, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err == nil {
		err = o.Run(ctx)
	}
	if err != nil || !strings.Contains(log.String(), "no connection is free") {
		t.Errorf("got %v and the log %q", err, log.String())
	}
}

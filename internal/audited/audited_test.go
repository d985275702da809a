package audited_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The entry comes first, and a second one says how work failed.
func TestDo(t *testing.T) {
	t.Parallel()
	broken, refused := errors.New("duplicate entry 'bob@example.com'"), tenancy.ErrForbidden
	for name, tt := range map[string]struct {
		partly bool
		err    error
		want   []tenancy.AuditResult
	}{
		"done":              {false, nil, []tenancy.AuditResult{tenancy.AuditDone}},
		"failed":            {false, broken, []tenancy.AuditResult{tenancy.AuditDone, tenancy.AuditFailed}},
		"refused":           {false, refused, []tenancy.AuditResult{tenancy.AuditDone, tenancy.AuditFailed}},
		"failed in part":    {true, broken, []tenancy.AuditResult{tenancy.AuditDone, tenancy.AuditUnknown}},
		"refused, not part": {true, refused, []tenancy.AuditResult{tenancy.AuditDone, tenancy.AuditDenied}},
	} {
		trail := &tenancytest.Audit{}
		ctx, cancel := context.WithCancel(tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann"}))
		w := audited.Work{Audit: trail, Action: "thing.do", Tenant: "acme", Object: strings.Repeat("é\x00", 200), Partly: tt.partly}
		err := w.Do(ctx, func() error {
			if n := len(trail.All()); n != 1 {
				t.Errorf("%s: got %d entries before the work, want one", name, n)
			}
			cancel() // the caller is gone, and the second entry is written all the same
			return tt.err
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", name, err, tt.err)
		}
		var got []tenancy.AuditResult
		for _, e := range trail.All() {
			got = append(got, e.Result)
			if e.Tenant != "acme" || e.Object == "" || e.Actor.ID != "ann" || (e.Result == tenancy.AuditDone) != (e.Problem == "") || strings.Contains(e.Problem, "bob") {
				t.Errorf("%s: got %+v", name, e)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		cancel()
	}
}

// Without the entry nothing is done, and a lost entry of a failure is in the log.
func TestDoWithoutEntries(t *testing.T) {
	t.Parallel()
	did := 0
	do := func() error { did++; return tenancy.ErrConflict }
	deaf := audited.Work{Audit: &tenancytest.Audit{Err: errors.New("the disk is full")}, Action: "thing.do"}
	if err := deaf.Do(t.Context(), do); !errors.Is(err, tenancy.ErrUnavailable) || did != 0 {
		t.Errorf("got %v and %d, want ErrUnavailable and nothing done", err, did)
	}
	none := audited.Work{Action: "thing.do"}
	if err := none.Do(t.Context(), do); !errors.Is(err, tenancy.ErrConflict) || did != 1 {
		t.Errorf("without an audit: got %v and %d, want it done", err, did)
	}
	var log bytes.Buffer
	later := audited.Work{Audit: &once{}, Action: "thing.do", Tenant: "acme", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	if err := later.Do(t.Context(), do); !errors.Is(err, tenancy.ErrConflict) || !strings.Contains(log.String(), "is lost") || !strings.Contains(log.String(), "acme") {
		t.Errorf("got %v and %q, want the work's error, and the lost entry in the log", err, log.String())
	}
}

// once is an auditor that takes one entry.
type once struct{ full bool }

func (o *once) Audit(context.Context, *sql.Tx, tenancy.Entry) error {
	if o.full {
		return errors.New("the disk is full")
	}
	o.full = true
	return nil
}

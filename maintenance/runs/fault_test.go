package runs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// waitLog is a writer of logs that says when a text comes, and counts what is written.
type waitLog struct {
	text string
	came chan struct{}
	n    atomic.Int64
}

func (l *waitLog) Write(b []byte) (int, error) {
	l.n.Add(int64(len(b)))
	if strings.Contains(string(b), l.text) {
		select {
		case l.came <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

// logged returns a runner whose log is heard.
func (b *bench) logged(text string, do func(context.Context, *tenancy.Tenant, tenancy.Attempt) error) (*runs.Runner, *waitLog) {
	b.t.Helper()
	l := &waitLog{text: text, came: make(chan struct{}, 1)}
	r, err := runs.New(b.db, b.catalog, &runs.Options{
		Poll: 5 * time.Millisecond, Lease: 10 * time.Minute, Tasks: runs.Tasks{"work": {Do: do}}, Logger: slog.New(slog.NewTextHandler(l, nil)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r, l
}

// What was done while the rows of runs could not be written is written down later, and
// is not done again.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 4)
		began, goOn := make(chan struct{}, 4), make(chan struct{})
		r, log := b.logged("cannot write the results", func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			began <- struct{}{}
			<-goOn
			return nil
		})
		b.work(r)
		run := b.begin(r, runs.Spec{Parallel: 2})
		<-began
		<-began
		rename := func(from, to string) {
			t.Helper()
			if _, err := b.db.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("tenancy_run_tenants", "gone")
		close(goOn)
		<-log.came
		rename("gone", "tenancy_run_tenants")
		run = b.await(r, run.ID, runs.StateDone)
		b.wantCounts(run.Counts, runs.Counts{Total: 4, Done: 4})
		for slug, each := range b.results(r, run.ID) {
			if each.Attempt != 1 {
				t.Errorf("%s: got %d attempts, want 1", slug, each.Attempt)
			}
		}
	})
}

// A claim whose commit failed is given back. Another instance may have the tenant by now, under the same fence: it keeps it.
func TestGivenBackByWhoNeverHadIt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 1)
		began, goOn := make(chan struct{}, 2), make(chan struct{})
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
			began <- struct{}{}
			<-goOn
			return nil
		})
		b.work(r)
		run := b.begin(r, runs.Spec{})
		<-began
		var row struct {
			Seq, Fence int64
			Worker     string
		}
		read := func() {
			t.Helper()
			if err := b.db.GetContext(t.Context(), &row, `SELECT seq, fence, worker FROM tenancy_run_tenants`); err != nil {
				t.Fatal(err)
			}
		}
		read()
		was := row
		if err := r.GiveBack(t.Context(), run.ID, row.Seq, row.Fence, "worker/another"); err != nil {
			t.Fatal(err)
		}
		if read(); row != was {
			t.Errorf("got %+v, want it as it was: %+v", row, was)
		}
		close(goOn)
		run = b.await(r, run.ID, runs.StateDone)
		if got := b.results(r, run.ID)["t-00"].Attempt; got != 1 {
			t.Errorf("got %d attempts, want 1", got)
		}
	})
}

// nobody is an error whose nil value panics when it is looked at.
type nobody struct{ text string }

func (n *nobody) Error() string { return n.text }

// An error that panics when it is looked at is the failure of its tenant.
func TestErrorsThatPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 4)
	var none *nobody
	var skip *tenancy.SkipError
	bad := map[string]error{"t-00": none, "t-01": skip, "t-02": &tenancy.Error{Op: "work"}}
	r := b.runner(func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error { return bad[tenant.Slug] })
	b.work(r)
	run := b.begin(r, runs.Spec{Parallel: 4})
	run = b.await(r, run.ID, runs.StateFailed)
	b.wantCounts(run.Counts, runs.Counts{Total: 4, Done: 1, Failed: 3})
	for slug := range bad {
		if got := b.results(r, run.ID)[slug].Text; !strings.HasPrefix(got, "panic: ") {
			t.Errorf("%s: got %q, want the panic", slug, got)
		}
	}
}

// A task that ignores the end of its time fails, and the run goes on.
func TestHang(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 2)
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	r := b.runner(func(_ context.Context, tenant *tenancy.Tenant, _ tenancy.Attempt) error {
		if tenant.Slug == "t-00" {
			<-end
		}
		return nil
	})
	b.work(r)
	run := b.begin(r, runs.Spec{Timeout: time.Millisecond * 50, Parallel: 1})
	run = b.await(r, run.ID, runs.StateFailed)
	b.wantCounts(run.Counts, runs.Counts{Total: 2, Done: 1, Failed: 1})
	if got := b.results(r, run.ID)["t-00"].Text; !strings.Contains(got, "may still be working") {
		t.Errorf("got %q, want it said that the task may still be working", got)
	}
}

// A thousand failures do not fill the log.
func TestManyFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 0)
	for i := range 1000 {
		if _, err := b.catalog.Create(t.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("x-%04d", i), Status: tenancy.StatusActive}); err != nil {
			t.Fatal(err)
		}
	}
	long := errors.New(strings.Repeat("no space left on device ", 1000))
	r, log := b.logged("more tenants failed", func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return long })
	b.work(r)
	run := b.begin(r, runs.Spec{Parallel: 8})
	run = b.await(r, run.ID, runs.StateFailed)
	b.wantCounts(run.Counts, runs.Counts{Total: 1000, Failed: 1000})
	<-log.came
	if n := log.n.Load(); n > 64<<10 {
		t.Errorf("got %d bytes of log, want at most 64 KiB", n)
	}
	for slug, each := range b.results(r, run.ID) {
		if len(each.Text) > 2000 {
			t.Fatalf("%s: got an error of %d bytes kept, want at most 2,000", slug, len(each.Text))
		}
	}
}

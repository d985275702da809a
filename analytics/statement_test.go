package analytics_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// statementsText returns calls and longest executions of the statements of all tenants.
func statementsText(t *testing.T, store analytics.StatementSource, p analytics.Period) (out string) {
	t.Helper()
	rows, err := store.Statements(t.Context(), &analytics.StatementsQuery{Scope: tenancy.AllTenants(), Period: p, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out += fmt.Sprintf("%s=%d/%v ", r.Text, r.Calls, r.Longest)
	}
	return out
}

// Of a tenant and hour the 20 slowest statements are counted; a new hour and a store that
// is away lose none.
func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &broken{Memory: memory}
		rec := newRecorder(t, store, &analytics.Options{Logger: slog.New(slog.DiscardHandler)})
		began := time.Now()
		for range 3 {
			for i := range 50 {
				for range 2 {
					rec.ObserveText("acme", "pgx", fmt.Sprintf("SELECT a%d FROM b WHERE c = %d", i, i), time.Duration(1+(i*7)%50)*time.Millisecond, nil)
				}
			}
			_ = rec.Flush(t.Context()) // it fails the second time
			store.off = !store.off
			time.Sleep(50 * time.Minute)
		}
		store.off = false
		for range 2 {
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		var slow []string
		for ms := 50; ms > 30; ms-- {
			for i := range 50 {
				if 1+(i*7)%50 == ms {
					slow = append(slow, fmt.Sprintf("SELECT a%d FROM b WHERE c = ?=6/%dms ", i, ms))
				}
			}
		}
		if got, want := statementsText(t, memory, analytics.Period{From: began.Add(-time.Hour), To: time.Now()}), strings.Join(slow, ""); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A text is written once a minute, and when the recorder ends.
func TestStatementsOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Minute - time.Duration(time.Now().UnixNano())%time.Minute)
		memory, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, memory, nil)
		p := analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}
		for i, want := range []string{"SELECT ?=1/1ms ", "SELECT ?=1/1ms ", "SELECT ?=3/1ms "} {
			rec.ObserveText("acme", "pgx", "SELECT 1", time.Millisecond, nil)
			if err := rec.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := statementsText(t, memory, p); got != want {
				t.Errorf("flush %d: got %s, want %s", i, got, want)
			}
			time.Sleep(time.Duration(i) * time.Minute)
		}
	})
}

// Statements of days that are over for long become one row a tenant, day and text: the 20
// slowest. Nothing is counted twice, and what comes later still changes nothing.
func TestStatementsByDay(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		store := migrated(t, s)
		acme := tenancytest.NewTenant("acme")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}})
		if err != nil {
			t.Fatal(err)
		}
		old := now.Truncate(day).Add(-5 * day) // its second day is over for long at any time of today
		write := func(source int64) {
			t.Helper()
			var parts []analytics.StatementPart
			for i := range int64(25) {
				for _, at := range []time.Time{old.Add(time.Hour), old.Add(30 * time.Hour), now.Add(-time.Hour)} {
					parts = append(parts, analytics.StatementPart{
						Tenant: acme.ID, Start: at.Truncate(time.Minute), Source: source, Fingerprint: i, Text: fmt.Sprintf("s%d", i), Revision: 1, Calls: 2, Longest: time.Duration(i+1) * time.Second,
					})
				}
			}
			if _, err := store.Write(t.Context(), &analytics.Batch{Statements: parts}); err != nil {
				t.Fatal(err)
			}
		}
		write(1)
		write(2)
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, days, want := statementsText(t, store, analytics.Period{From: old, To: now}), statementsText(t, store, analytics.Period{From: old, To: old.Add(2 * day)}), ""
			for i := 24; i >= 5; i-- {
				want += fmt.Sprintf("s%d=8/%ds ", i, i+1)
			}
			if days != want {
				t.Errorf("two days: got %s, want %s", days, want)
			}
			if want = strings.ReplaceAll(want, "=8/", "=12/") + "s4=4/5s s3=4/4s s2=4/3s s1=4/2s s0=4/1s "; all != want {
				t.Errorf("all: got %s, want %s", all, want)
			}
			if _, err := store.Write(t.Context(), &analytics.Batch{Statements: []analytics.StatementPart{
				{Tenant: acme.ID, Start: old.Add(2 * time.Hour), Source: 3, Fingerprint: 24, Text: "s24", Revision: 1, Calls: 100},
			}}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The statements with the longest executions are found, also where many instances have the same ones, with the sums of all their rows.
func TestLongestStatements(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		a, b := tenancytest.NewTenant("a"), tenancytest.NewTenant("b")
		batch := &analytics.Batch{Instance: analytics.Instance{ID: 1}, Tenants: []*tenancy.Tenant{a, b}}
		start := time.Now().UTC().Truncate(time.Minute)
		add := func(tenant *tenancy.Tenant, text, rows int, longest time.Duration) {
			for i := range rows {
				batch.Statements = append(batch.Statements, analytics.StatementPart{
					Tenant: tenant.ID, Start: start, Source: int64(i), Fingerprint: int64(text), Text: fmt.Sprintf("text-%d", text), Revision: 1,
					Calls: 2, Errors: 1, Time: time.Second, Longest: longest - time.Duration(i)*time.Microsecond,
				})
			}
		}
		add(a, 1, 100, time.Minute)
		add(b, 2, 60, 50*time.Second)
		add(a, 2, 1, 3*time.Second)
		add(b, 1, 1, 2*time.Second)
		add(b, 3, 5, 4*time.Second)
		if _, err := store.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		rows, err := store.(analytics.StatementSource).Statements(t.Context(), &analytics.StatementsQuery{
			Scope: tenancy.AllTenants(), Period: analytics.Period{From: start.Add(-time.Hour), To: start.Add(time.Hour)}, Limit: 3,
		})
		want := []analytics.StatementRow{
			{a.ID, 1, "text-1", 200, 100, 100 * time.Second, time.Minute},
			{b.ID, 2, "text-2", 120, 60, 60 * time.Second, 50 * time.Second},
			{b.ID, 3, "text-3", 10, 5, 5 * time.Second, 4 * time.Second},
		}
		if err != nil || !slices.Equal(rows, want) {
			t.Errorf("got %+v, %v, want %+v", rows, err, want)
		}
	})
}

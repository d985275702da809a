package analytics_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// gauged is a source that counts how often the totals of tenants are asked for: once for an overview.
type gauged struct {
	analytics.Source
	fleets atomic.Int64
	hold   func(context.Context) error // is called each time
}

func (g *gauged) Fleet(ctx context.Context, q *analytics.TenantsQuery) (*analytics.Fleet, error) {
	g.fleets.Add(1)
	if g.hold != nil {
		if err := g.hold(ctx); err != nil {
			return nil, err
		}
	}
	return g.Source.Fleet(ctx, q)
}

// sharing returns reports of a store in memory with a tenant, and their source.
func sharing(t *testing.T, share time.Duration, hold func(context.Context) error) (*analytics.Reports, *gauged) {
	t.Helper()
	store, err := analytics.NewMemory(nil)
	if err == nil {
		_, err = store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{tenancytest.NewTenant("acme")}})
	}
	source := &gauged{Source: store, hold: hold}
	reports, err2 := analytics.NewReports(source, &analytics.ReportsOptions{Share: share})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return reports, source
}

// sleep waits for so long, or until the context ends.
func sleep(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Callers who ask at once, or soon afterwards, get what was worked out once.
func TestShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, source := sharing(t, 0, sleep(3*time.Second))
		ask := func() {
			t.Helper()
			if o, err := reports.Overview(t.Context(), tenancy.AllTenants()); err != nil || o.TotalTenants.Value != 1 {
				t.Errorf("got %+v, %v, want one tenant", o, err)
			}
		}
		asked := func(want int64) {
			t.Helper()
			if got := source.fleets.Load(); got != want {
				t.Errorf("the source was asked %d times, want %d", got, want)
			}
		}
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				ask()
			})
		}
		all.Wait()
		asked(1)
		time.Sleep(899 * time.Millisecond) // its age counts from when it was there
		ask()
		asked(1)
		time.Sleep(2 * time.Millisecond)
		ask()
		asked(2)
		reports.Renew()
		ask()
		asked(3)
		time.Sleep(time.Second)
		all.Go(ask)
		time.Sleep(time.Second) // it is not there yet
		asked(4)
		reports.Renew()
		all.Go(ask)
		all.Wait()
		asked(5)
		ask() // of the second: what was worked out before Renew is not kept
		asked(5)
	})
}

// Without sharing each caller has the source asked.
func TestShareNothing(t *testing.T) {
	t.Parallel()
	reports, source := sharing(t, -1, nil)
	for range 3 {
		if _, err := reports.Overview(t.Context(), tenancy.AllTenants()); err != nil {
			t.Error(err)
		}
	}
	if got := source.fleets.Load(); got != 3 {
		t.Errorf("the source was asked %d times, want 3", got)
	}
}

// A caller whose context ends gets its error at once. The work goes on for others, and ends when nobody waits.
func TestShareContexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, source := sharing(t, 0, sleep(time.Minute))
		first, leave := context.WithCancel(t.Context())
		second, leaveToo := context.WithTimeout(t.Context(), 30*time.Second)
		defer leaveToo()
		answers := make(chan error, 3)
		began := time.Now()
		for _, ctx := range []context.Context{first, second, t.Context()} {
			go func() {
				_, err := reports.Overview(ctx, tenancy.AllTenants())
				answers <- err
			}()
			synctest.Wait()
		}
		leave()
		if err := <-answers; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want %v at once", err, time.Since(began), context.Canceled)
		}
		if err := <-answers; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("got %v after %v, want %v after 30 s", err, time.Since(began), context.DeadlineExceeded)
		}
		if err := <-answers; err != nil || time.Since(began) != time.Minute || source.fleets.Load() != 1 {
			t.Errorf("got %v after %v, asked %d times, want an answer after a minute, asked once", err, time.Since(began), source.fleets.Load())
		}

		time.Sleep(time.Hour)
		ended := make(chan error, 1)
		source.hold = func(ctx context.Context) error {
			err := sleep(time.Minute)(ctx)
			ended <- err
			return err
		}
		alone, leaveAlone := context.WithTimeout(t.Context(), time.Second)
		defer leaveAlone()
		if _, err := reports.Overview(alone, tenancy.AllTenants()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the work ended with %v, want %v: nobody waited", err, context.Canceled)
		}
		if _, err := reports.Overview(t.Context(), tenancy.AllTenants()); err != nil { // nobody gets what was cancelled
			t.Error(err)
		}
		if _, err := reports.Overview(alone, tenancy.AllTenants()); !errors.Is(err, context.DeadlineExceeded) || source.fleets.Load() != 3 {
			t.Errorf("got %v, want %v of a context that had ended", err, context.DeadlineExceeded)
		}
	})
}

// An error reaches all who wait, and nobody else. So does a panic, and work that ends without an answer.
func TestShareFailures(t *testing.T) {
	t.Parallel()
	failed := errors.New("the source failed")
	for name, fail := range map[string]func() error{
		"error":  func() error { return failed },
		"panic":  func() error { panic(failed) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reports, source := sharing(t, 0, func(context.Context) error {
					time.Sleep(time.Second)
					return fail()
				})
				want := failed
				if name == "goexit" {
					want = tenancy.ErrUnavailable
				}
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						var err error
						func() {
							defer func() {
								if p := recover(); p != nil {
									err = p.(error)
								}
							}()
							_, err = reports.Overview(t.Context(), tenancy.AllTenants())
						}()
						if !errors.Is(err, want) || (name == "panic") != strings.Contains(fmt.Sprint(err), "share_test.go") {
							t.Errorf("got %v, want %v, and of a panic where it was", err, want)
						}
					})
				}
				all.Wait()
				if got := source.fleets.Load(); got != 1 {
					t.Errorf("the source was asked %d times, want once", got)
				}
				source.hold = nil
				if _, err := reports.Overview(t.Context(), tenancy.AllTenants()); err != nil {
					t.Errorf("got %v, want an answer: errors are not kept", err)
				}
			})
		})
	}
}

// reportsOf returns all reports that are shared, by name.
func reportsOf(ctx context.Context, r *analytics.Reports, scope tenancy.Scope, p analytics.Period) map[string]any {
	ids := []tenancy.ID{"id-1", "id-5"}
	names := []string{"requests", analytics.FigureP95}
	out := map[string]any{}
	add := func(name string, report any, err error) {
		if err != nil {
			report = err.Error()
		}
		out[name] = report
	}
	of := func(name string) func(any, error) { return func(report any, err error) { add(name, report, err) } }
	series := &analytics.SeriesRequest{Names: names, Period: p}
	of("overview")(r.Overview(ctx, scope))
	of("tenants")(r.Tenants(ctx, scope, &analytics.TenantsRequest{Sort: "-requests", Period: p, Spark: []analytics.Column{analytics.Requests}}))
	of("tenants by default")(r.Tenants(ctx, scope, nil))
	of("tenant")(r.Tenant(ctx, scope, "id-1", p))
	of("series")(r.Series(ctx, scope, series))
	of("trend")(r.Trend(ctx, scope, &analytics.SeriesRequest{Names: names[:1], Period: p}))
	of("spread")(r.Spread(ctx, scope, names, p))
	of("forecast")(r.Forecast(ctx, scope, &analytics.ForecastRequest{Name: "requests"}))
	of("storage")(r.Storage(ctx, scope, "", analytics.Period{}))
	of("top")(r.Top(ctx, scope, analytics.TopRequest{By: analytics.Requests, Period: p}))
	of("compare")(r.Compare(ctx, scope, &analytics.CompareRequest{Tenants: ids, Names: names, Period: p}))
	of("periods")(r.ComparePeriods(ctx, scope, series))
	of("performance")(r.Performance(ctx, scope, p))
	of("neighbours")(r.Neighbours(ctx, scope, time.Time{}))
	of("memory")(r.Memory(ctx, scope))
	of("months")(r.Months(ctx, scope, nil))
	of("patterns")(r.Patterns(ctx, scope, &analytics.PatternsRequest{}))
	return out
}

// textOf returns reports as text.
func textOf(t *testing.T, reports map[string]any) string {
	t.Helper()
	text, err := json.Marshal(reports)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// sharingFleet returns reports of the tenants of [fleet] that keep answers for an hour, others that share nothing, and a period.
func sharingFleet(t *testing.T) (reports, alone *analytics.Reports, p analytics.Period) {
	t.Helper()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, now := fleet(t, store)
	if reports, err = analytics.NewReports(store, &analytics.ReportsOptions{Share: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return reports, newReports(t, store), analytics.Period{From: now.Add(-2 * time.Hour), To: now}
}

// No scope gets another one's answer, however much alike they look.
func TestShareScopes(t *testing.T) {
	t.Parallel()
	many := make([]tenancy.ID, 1500)
	for i := range many {
		many[i] = tenancy.ID(fmt.Sprintf("id-%d", i+10))
	}
	scopes := map[string]tenancy.Scope{
		"all": tenancy.AllTenants(), "nobody": {}, "no tags": tenancy.ByTags(), "no IDs": tenancy.ByIDs(),
		"eu": tenancy.ByTags("eu"), "us": tenancy.ByTags("us"), "eu, us": tenancy.ByTags("us", "eu"), "a tag with a comma": tenancy.ByTags("eu,us"),
		"a tag that looks like two": tenancy.ByTags(`eu" "us`), "joined": tenancy.ByTags("euus"), "a tag that is an ID": tenancy.ByTags("id-1"),
		"not UTF-8": tenancy.ByTags("\xff"), "nor this": tenancy.ByTags("\xfe"), "with a NUL": tenancy.ByTags("eu\x00"), "two with one": tenancy.ByTags("e", "u"),
		"id-1": tenancy.ByIDs("id-1"), "id-2": tenancy.ByIDs("id-2"), "both": tenancy.ByIDs("id-1", "id-2"), "an ID that is a tag": tenancy.ByIDs("eu"),
		"many and id-1": tenancy.ByIDs(append(many, "id-1")...), "many and id-2": tenancy.ByIDs(append(many, "id-2")...), "many": tenancy.ByIDs(many...),
	}
	synctest.Test(t, func(t *testing.T) { // where the time of each report is the same
		reports, alone, p := sharingFleet(t)
		want := map[string]string{}
		for name, scope := range scopes {
			want[name] = textOf(t, reportsOf(t.Context(), alone, scope, p))
		}
		if want["many and id-1"] == want["many and id-2"] || want["id-1"] == want["id-2"] || want["eu"] == want["us"] || want["nobody"] == want["all"] {
			t.Error("the scopes do not tell tenants apart: the test shows nothing")
		}
		var all sync.WaitGroup
		for range 2 {
			for name, scope := range scopes {
				all.Go(func() {
					if got := textOf(t, reportsOf(t.Context(), reports, scope, p)); got != want[name] {
						t.Errorf("%s: got\n%s\nwant\n%s", name, got, want[name])
					}
				})
			}
		}
		all.Wait()
	})
}

// A request that differs in anything has an answer of its own. Windows that end now are the same.
func TestShareRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, source := sharing(t, 0, nil)
		now := time.Now()
		of := func(change func(*analytics.TenantsRequest)) *analytics.TenantsRequest {
			req := &analytics.TenantsRequest{}
			change(req)
			return req
		}
		ask := func(ctx context.Context, req *analytics.TenantsRequest) {
			t.Helper()
			if _, err := reports.Tenants(ctx, tenancy.AllTenants(), req); err != nil {
				t.Errorf("%+v: %v", req, err)
			}
		}
		different := []*analytics.TenantsRequest{
			of(func(*analytics.TenantsRequest) {}),
			of(func(r *analytics.TenantsRequest) { r.Filter.Plan = "a" }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Server = "a" }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Text = "a" }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Text = "plan:a" }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Tags = []string{"a"} }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Tags = []string{"a", "b"} }),
			of(func(r *analytics.TenantsRequest) { r.Filter.IDs = []tenancy.ID{"a"} }),
			of(func(r *analytics.TenantsRequest) { r.Filter.Status = []tenancy.Status{tenancy.StatusActive} }),
			of(func(r *analytics.TenantsRequest) { r.Filter.CreatedFrom = now }),
			of(func(r *analytics.TenantsRequest) { r.Filter.CreatedBefore = now }),
			of(func(r *analytics.TenantsRequest) { r.Filter.SchemaFrom = 1 }),
			of(func(r *analytics.TenantsRequest) { r.Filter.SchemaBefore = 1 }),
			of(func(r *analytics.TenantsRequest) { r.Sort = "name" }),
			of(func(r *analytics.TenantsRequest) { r.Limit = 1 }),
			of(func(r *analytics.TenantsRequest) { r.Spark = []analytics.Column{analytics.Requests} }),
			of(func(r *analytics.TenantsRequest) { r.Spark = []analytics.Column{analytics.Jobs} }),
			of(func(r *analytics.TenantsRequest) { r.Period = analytics.Period{From: now.Add(-time.Hour), To: now} }),
			of(func(r *analytics.TenantsRequest) { r.Period = analytics.Period{From: now.Add(-2 * time.Hour), To: now} }),
			of(func(r *analytics.TenantsRequest) {
				r.Period = analytics.Period{From: now.Add(-2 * time.Hour), To: now.Add(-time.Hour)}
			}),
			of(func(r *analytics.TenantsRequest) { r.Period.From = now.Add(-time.Hour) }),
		}
		for range 2 {
			for _, req := range different {
				ask(t.Context(), req)
			}
		}
		asked := int64(len(different))
		if got := source.fleets.Load(); got != asked {
			t.Errorf("the source was asked %d times, want %d", got, asked)
		}
		time.Sleep(500 * time.Millisecond)
		ask(t.Context(), of(func(r *analytics.TenantsRequest) {
			r.Period = analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now()}
		}))
		if got := source.fleets.Load(); got != asked {
			t.Errorf("the last hour, half a second later: the source was asked %d times, want %d", got, asked)
		}
		ask(tenancy.NewContext(t.Context(), tenancytest.NewTenant("acme")), nil) // the source may look at it
		if got := source.fleets.Load(); got != asked+1 {
			t.Errorf("in a tenant's context: the source was asked %d times, want %d", got, asked+1)
		}
		if _, err := reports.Tenants(t.Context(), tenancy.AllTenants(), of(func(r *analytics.TenantsRequest) { r.Filter.Tags = []string{""} })); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("got %v, want %v, and not the answer to a request without tags", err, tenancy.ErrInvalid)
		}
	})
}

// Of many answers the oldest are forgotten.
func TestShareIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, source := sharing(t, time.Hour, nil)
		ask := func(limit int) {
			if _, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Limit: limit}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			ask(i + 1)
		}
		ask(100)
		ask(69)
		if got := source.fleets.Load(); got != 100 {
			t.Errorf("the source was asked %d times, want 100: the last 32 are kept", got)
		}
		ask(68)
		if got := source.fleets.Load(); got != 101 {
			t.Errorf("the source was asked %d times, want 101: the others are not", got)
		}
	})
}

// spoil changes everything that a value leads to.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			spoil(v.MapIndex(key))
		}
		if !v.IsNil() {
			v.SetMapIndex(reflect.ValueOf("spoilt").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok && v.CanSet() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoil(v.Field(i))
			}
		}
	default:
		if v.CanSet() {
			v.SetZero()
		}
	}
}

// Callers who share an answer may each write into their report.
func TestShareCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, alone, p := sharingFleet(t)
		want := textOf(t, reportsOf(t.Context(), alone, tenancy.AllTenants(), p))
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				for range 2 {
					got := reportsOf(t.Context(), reports, tenancy.AllTenants(), p)
					if text := textOf(t, got); text != want {
						t.Errorf("got\n%s\nwant\n%s", text, want)
					}
					for _, name := range slices.Sorted(maps.Keys(got)) {
						spoil(reflect.ValueOf(got[name]))
					}
				}
			})
		}
		all.Wait()
	})
}

// What a caller does with its request afterwards does not reach the work that goes on for others.
func TestShareRequestIsCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reports, _ := sharing(t, 0, sleep(time.Second))
		first, leave := context.WithCancel(t.Context())
		req := &analytics.TenantsRequest{Filter: tenancy.Filter{Tags: []string{"none"}}}
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := reports.Tenants(first, tenancy.AllTenants(), req); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			req.Filter.Tags[0], req.Limit = "another", -1
		})
		synctest.Wait()
		all.Go(func() {
			page, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &analytics.TenantsRequest{Filter: tenancy.Filter{Tags: []string{"none"}}})
			if err != nil || len(page.Tenants) != 0 {
				t.Errorf("got %+v, %v, want an empty page", page, err)
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
	})
}

package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
)

func TestCacheMetrics(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	c, o, _ := newCache(t, cache.Options{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	wantVersion(t, c, slug("acme"), 1)
	wantVersion(t, c, slug("acme"), 1)
	wantVersion(t, c, slug("acme"), 1)
	wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
	wantError(t, c, slug("nobody"), tenancy.ErrNotFound)
	c.Forget(t.Context(), slug("other"))
	o.breakDown(context.DeadlineExceeded)
	wantError(t, c, slug("other"), tenancy.ErrUnavailable)
	got := collect(t, reader)
	for name, want := range map[string]int64{
		"tenants": 1, "unknown": 1, "hits": 2, "unknown_hits": 1, "misses": 3, "redis_hits": 0, "redis_unreadable": 0, "loads": 3,
		"load.failures": 1, "stale": 0, "refused": 0, "changes": 1, "resets": 0, "evictions": 0, "unsynced": 0, "redis_down": 0,
		"origin_down": 1,
	} {
		name = "tenancy.catalog.cache." + name
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s: got %v, %v, want %v", name, n, ok, want)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("got %v beside those that are documented", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, reader); len(got) != 0 {
		t.Errorf("after Close: got %v, want no figures", got)
	}
}

// Who waits for a record does so in a span of the request's, which the origin's are
// in; who finds it in memory does not.
func TestCacheSpans(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("host")
	c, o, _ := newCache(t, cache.Options{})
	o.answerAfter(func(ctx context.Context, _ tenancy.Ref) {
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("driver").Start(ctx, "query")
		span.End()
	})
	ctx, request := tracer.Start(t.Context(), "request")
	for range 2 {
		if _, err := c.Find(ctx, slug("acme")); err != nil {
			t.Fatal(err)
		}
	}
	got := exporter.GetSpans()
	if len(got) != 2 {
		t.Fatalf("got %d spans, want one of the load and one of the query in it", len(got))
	}
	query, load := got[0], got[1]
	if load.Name != "tenancy.catalog.load" || load.Parent.SpanID() != request.SpanContext().SpanID() {
		t.Errorf("got span %s of %v, want tenancy.catalog.load of the request's", load.Name, load.Parent.SpanID())
	}
	if query.Parent.SpanID() != load.SpanContext.SpanID() {
		t.Error("the origin's span is not in that of the load")
	}
	set := attribute.NewSet(load.Attributes...)
	if kind, _ := set.Value("tenancy.ref.kind"); kind.AsString() != "slug" {
		t.Errorf("got the kind %q, want slug", kind.AsString())
	}
	exporter.Reset()
	_, _ = c.Find(ctx, slug("nobody"))
	o.breakDown(context.DeadlineExceeded)
	_, _ = c.Find(ctx, slug("somebody"))
	if got := exporter.GetSpans(); len(got) != 4 || got[1].Status.Code != codes.Unset || got[3].Status.Code != codes.Error {
		t.Errorf("got %d spans, want four, of which that of the failure shows it and that of an unknown name does not", len(got))
	}
}

func TestCacheCheck(t *testing.T) {
	t.Parallel()
	c, o, _ := newCache(t, cache.Options{})
	wantVersion(t, c, slug("acme"), 1)
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("a cache that works: got %v", err)
	}
	o.breakDown(context.DeadlineExceeded)
	wantError(t, c, slug("other"), tenancy.ErrUnavailable)
	if err := c.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("while the origin fails: got %v, want ErrUnavailable", err)
	}
	_ = c.Close()
	if err := c.Check(t.Context()); !errors.Is(err, tenancy.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

func collect(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				t.Fatalf("%s: got %T", m.Name, m.Data)
			}
			for _, d := range sum.DataPoints {
				out[m.Name] += d.Value
			}
		}
	}
	return out
}

// The number of hits is an estimate, and close.
func TestCacheCountsHits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := newCache(t, cache.Options{TTL: time.Hour})
		run(t, c)
		wantVersion(t, c, slug("acme"), 1)
		const hits = 50_000
		for range hits / 10 {
			time.Sleep(time.Millisecond)
			for range 10 {
				wantVersion(t, c, slug("acme"), 1)
			}
		}
		if n := c.Stat().Hits; n < hits*2/3 || n > hits*4/3 {
			t.Errorf("counted %d hits, want about %d", n, hits)
		}
	})
}

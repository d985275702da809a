package dbpool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// busyPool is a pool of budget 2 on a server that only counts, whose tenants
// 0 … 3 have used a connection each, and whose tenant 3 has one in use.
func busyPool(t *testing.T, opts *dbpool.Options) *dbpool.Pool {
	t.Helper()
	engine, _ := dbpool.NewFakeServer(t, 2, 0)
	opts.Budget = 2
	p, err := dbpool.New(map[string]driver.Engine{"main": engine}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	for i := range 4 {
		name := fmt.Sprintf("t%d", i)
		db, err := p.For(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			err = c.Close()
		} else {
			t.Cleanup(func() { _ = c.Close() })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	p := busyPool(t, &dbpool.Options{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	got := collect(t, reader)
	for name, want := range map[string]float64{
		"db.client.connection.max":              2,
		"db.client.connection.count idle":       1,
		"db.client.connection.count used":       1,
		"db.client.connection.count dialing":    0,
		"db.client.connection.pending_requests": 0,
		"db.client.connection.timeouts":         0,
		"db.client.connection.create_time":      4,
		"db.client.connection.wait_time":        4,
		"tenancy.dbpool.borrowed":               0,
		"tenancy.dbpool.requests":               4,
		"tenancy.dbpool.waits":                  4,
		"tenancy.dbpool.hand_overs":             4,
		"tenancy.dbpool.refused":                0,
		"tenancy.dbpool.dials":                  4,
		"tenancy.dbpool.dial.failures":          0,
		"tenancy.dbpool.evictions":              2,
		"tenancy.dbpool.switches":               0,
		"tenancy.dbpool.breaker":                0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s: got %v, %v, want %v", name, n, ok, want)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("got %v beside those that are documented", got)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, reader); len(got) > 2 { // the histograms stay
		t.Errorf("after Close: got %v, want no more figures", got)
	}
}

func TestTenantMetrics(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	busyPool(t, &dbpool.Options{TenantMetrics: 3, MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	got := map[string]float64{}
	for name, value := range collect(t, reader) {
		if strings.HasPrefix(name, "tenancy.dbpool.tenant.") {
			got[name] = value
		}
	}
	sum := 0.0 // t2 and t3 have a connection each; who is the busiest depends on how long the test took
	for _, n := range got {
		sum += n
	}
	if len(got) != 6 || sum < 1 || sum > 2 {
		t.Errorf("got %v, want the connections and waiting requests of three tenants", got)
	}
}

// Who waits for a connection does so in a span of the request's; who finds one
// does not.
func TestSpanOfWaiting(t *testing.T) {
	t.Parallel()
	p := busyPool(t, &dbpool.Options{})
	exporter := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("host")
	var parent trace.Span
	for _, name := range []string{"t2", "t0", "t3"} {
		db, err := p.For(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if name == "t3" { // whose only connection is in use
			go func() {
				for p.Stat("main").Waiting == 0 {
					runtime.Gosched()
				}
				cancel()
			}()
		}
		ctx, parent = tracer.Start(ctx, "request")
		if c, err := db.Conn(ctx); err == nil {
			err = c.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		cancel()
	}
	got := exporter.GetSpans()
	if len(got) != 2 {
		t.Fatalf("got %d spans, want those of the two who found no idle connection", len(got))
	}
	last := got[1]
	if last.Name != "tenancy.dbpool.acquire" || last.Parent.SpanID() != parent.SpanContext().SpanID() || last.Status.Code != codes.Error {
		t.Errorf("got span %s of %v, status %v, want a failed tenancy.dbpool.acquire of the request's", last.Name, last.Parent.SpanID(), last.Status)
	}
	set := attribute.NewSet(last.Attributes...)
	if id, _ := set.Value("tenancy.tenant.id"); id.AsString() != "t3" {
		t.Errorf("got tenant %q, want t3", id.AsString())
	}
	if server, _ := set.Value("tenancy.server"); server.AsString() != "main" {
		t.Errorf("got server %q, want main", server.AsString())
	}
}

// collect returns the sums, or the numbers of what a histogram counted, by name
// and, where there is one, state.
func collect(t *testing.T, reader sdk.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	add := func(name string, set attribute.Set, value float64) {
		if pool, ok := set.Value("db.client.connection.pool.name"); ok && pool.AsString() != "main" {
			t.Errorf("%s: got pool %q, want main", name, pool.AsString())
		}
		for _, key := range []attribute.Key{"db.client.connection.state", "tenancy.tenant.id"} {
			if value, ok := set.Value(key); ok {
				name += " " + value.AsString()
			}
		}
		out[name] += value
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, d := range data.DataPoints {
					add(m.Name, d.Attributes, float64(d.Value))
				}
			case metricdata.Gauge[int64]:
				for _, d := range data.DataPoints {
					add(m.Name, d.Attributes, float64(d.Value))
				}
			case metricdata.Histogram[float64]:
				for _, d := range data.DataPoints {
					add(m.Name, d.Attributes, float64(d.Count))
				}
			default:
				t.Errorf("%s: got %T", m.Name, data)
			}
		}
	}
	return out
}

func TestHandler(t *testing.T) {
	t.Parallel()
	h := busyPool(t, &dbpool.Options{}).Handler()
	get := func(method, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/"+query, nil))
		return w
	}
	var got struct {
		Servers map[string]map[string]any
		Tenants []dbpool.TenantStat
	}
	if err := json.Unmarshal(get(http.MethodGet, "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Servers["main"]
	if s["budget"] != 2.0 || s["in_use"] != 1.0 || s["evictions"] != 2.0 || s["dials_per_request"] != 1.0 || s["breaker"] != "closed" {
		t.Errorf("got %v, want the figures of the server", s)
	}
	if len(got.Tenants) != 4 || got.Tenants[0].Server != "main" || got.Tenants[0].Heat == 0 {
		t.Errorf("got %+v, want four tenants", got.Tenants)
	}
	conns := 0
	for _, each := range got.Tenants {
		conns += each.Conns
	}
	if conns != 2 {
		t.Errorf("got %d connections of tenants, want 2", conns)
	}
	for query, want := range map[string]int{"?tenants=2": 2, "?tenants=0": 0, "?tenants=1000": 4} {
		if err := json.Unmarshal(get(http.MethodGet, query).Body.Bytes(), &got); err != nil || len(got.Tenants) != want {
			t.Errorf("%s: got %d tenants, %v, want %d", query, len(got.Tenants), err, want)
		}
	}
	if n := len(busyPool(t, &dbpool.Options{}).Tenants(-1)); n != 0 {
		t.Errorf("a negative number: got %d tenants, want none", n)
	}
	for _, query := range []string{"?tenants=-1", "?tenants=1001", "?tenants=x"} {
		if w := get(http.MethodGet, query); w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", query, w.Code)
		}
	}
	if w := get(http.MethodPost, ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: got %d, want 405", w.Code)
	}
}

// A pool that is not made has no metrics, and one that is being made may be
// looked at.
func TestMetricsOfNewPools(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	engine, _ := dbpool.NewFakeServer(t, 2, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := reader.Collect(t.Context(), new(metricdata.ResourceMetrics)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 100 {
		opts := &dbpool.Options{MeterProvider: provider, Servers: map[string]dbpool.ServerOptions{"a": {Replicas: []string{"nobody"}}}}
		if _, err := dbpool.New(map[string]driver.Engine{"a": engine, "b": engine}, opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Fatalf("got %v, want ErrInvalid", err)
		}
	}
	close(stop)
	wg.Wait()
	if got := collect(t, reader); len(got) != 0 {
		t.Errorf("got metrics %v of pools that were not made, want none", got)
	}
}

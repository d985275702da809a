package middleware_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

var _ sdktrace.SpanProcessor = middleware.SpanProcessor[sdktrace.ReadWriteSpan, sdktrace.ReadOnlySpan]{}

// newTracing returns a provider with the processor in it, and what it exports.
func newTracing() (*sdktrace.TracerProvider, *tracetest.InMemoryExporter) {
	exporter := tracetest.NewInMemoryExporter()
	return sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(middleware.SpanProcessor[sdktrace.ReadWriteSpan, sdktrace.ReadOnlySpan]{}),
		sdktrace.WithSyncer(exporter)), exporter
}

// idsOf returns what each span says about its tenant, by the span's name.
func idsOf(t *testing.T, spans tracetest.SpanStubs) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, s := range spans {
		if _, twice := ids[s.Name]; twice {
			t.Errorf("got the span %s twice", s.Name)
		}
		ids[s.Name] = ""
		seen := map[attribute.Key]bool{}
		for _, a := range s.Attributes {
			if seen[a.Key] {
				t.Errorf("%s: got %s twice", s.Name, a.Key)
			}
			seen[a.Key] = true
			if a.Key == "tenancy.tenant.id" || a.Key == "tenancy.tenant.slug" {
				ids[s.Name] += a.Value.AsString() + " "
			}
		}
	}
	return ids
}

func TestSpansOfATenantsRequest(t *testing.T) {
	t.Parallel()
	provider, exporter := newTracing()
	tracer := provider.Tracer("host")
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("globex", tenancy.StatusActive))
	start := func(ctx context.Context, name string, opts ...trace.SpanStartOption) context.Context {
		ctx, span := tracer.Start(ctx, name, opts...)
		span.End()
		return ctx
	}
	h := tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if _, ok := tenancy.FromContext(ctx); !ok {
			start(ctx, "central")
			return
		}
		ctx = start(ctx, "child")
		start(ctx, "grandchild")
		start(context.WithoutCancel(ctx), "root of its own", trace.WithNewRoot())
		// As libraries do that are given no provider.
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("library").Start(ctx, "library's")
		span.End()
		start(ctx, "lie", trace.WithAttributes(attribute.String("tenancy.tenant.id", "globex"), attribute.String("tenancy.tenant.slug", "globex")))
		start(tenancy.NewContext(ctx, newTenant("globex", tenancy.StatusActive)), "of another")
		start(trace.ContextWithSpan(context.Background(), trace.SpanFromContext(ctx)), "without a tenant")
	}))
	serve := func(name, target string) {
		r := get(target)
		ctx, span := tracer.Start(r.Context(), name)
		ask(t, h, r.WithContext(ctx))
		span.End()
	}
	serve("request", "http://acme.example.com/")
	serve("request without", "http://example.com/")
	const acme, globex = "id-acme acme ", "id-globex globex "
	want := map[string]string{
		"request": acme, "child": acme, "grandchild": acme, "root of its own": acme, "library's": acme, "lie": acme,
		"of another": globex, "without a tenant": "", "request without": "", "central": "",
	}
	if diff := cmp.Diff(want, idsOf(t, exporter.GetSpans())); diff != "" {
		t.Errorf("tenants of spans (-want +got):\n%s", diff)
	}
}

// A job's spans belong to the trace of the request that sealed it, and carry the
// job's tenant.
func TestSpansOfATenantsJob(t *testing.T) {
	t.Parallel()
	provider, exporter := newTracing()
	tracer := provider.Tracer("host")
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	var propagator propagation.TraceContext

	ctx, request := tracer.Start(tenancy.NewContext(t.Context(), newTenant("acme", tenancy.StatusActive)), "request")
	job, err := tenancy.SealJob(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	propagator.Inject(ctx, propagation.MapCarrier(job.Trace))
	data, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	request.End()

	ctx, job, err = tenancy.OpenJob[int](t.Context(), find, data)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(propagator.Extract(ctx, propagation.MapCarrier(job.Trace)), "job")
	span.End()

	spans := exporter.GetSpans()
	if diff := cmp.Diff(map[string]string{"request": "id-acme acme ", "job": "id-acme acme "}, idsOf(t, spans)); diff != "" {
		t.Fatalf("tenants of spans (-want +got):\n%s", diff)
	}
	if spans[1].Parent.SpanID() != spans[0].SpanContext.SpanID() || spans[1].SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
		t.Errorf("got the job's parent %v, want the request's span %v", spans[1].Parent, spans[0].SpanContext)
	}
}

func TestSpansOfManyTenantsAtOnce(t *testing.T) {
	t.Parallel()
	provider, exporter := newTracing()
	tracer := provider.Tracer("host")
	var wg sync.WaitGroup
	for _, slug := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			ctx := tenancy.NewContext(t.Context(), newTenant(slug, tenancy.StatusActive))
			for range 100 {
				_, span := tracer.Start(ctx, slug)
				span.End()
			}
		})
	}
	wg.Wait()
	spans := exporter.GetSpans()
	if len(spans) != 400 {
		t.Errorf("got %d spans, want 400", len(spans))
	}
	for _, s := range spans {
		want := []attribute.KeyValue{attribute.String("tenancy.tenant.id", "id-"+s.Name), attribute.String("tenancy.tenant.slug", s.Name)}
		if diff := cmp.Diff(want, s.Attributes, cmp.AllowUnexported(attribute.Value{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.Name, diff)
		}
	}
	if err := provider.ForceFlush(t.Context()); err != nil {
		t.Errorf("ForceFlush: %v", err)
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

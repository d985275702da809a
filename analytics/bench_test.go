package analytics_test

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// discard is a response writer with the abilities of HTTP/1.1's.
type discard struct {
	canFlush
	canHijack
	canRead
	header http.Header
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// finder knows one tenant.
type finder struct{ tenant *tenancy.Tenant }

func (f finder) Find(context.Context, tenancy.Ref) (*tenancy.Tenant, error) { return f.tenant, nil }

// BenchmarkHandler is a request through middleware.Standard, without a recorder and with one.
func BenchmarkHandler(b *testing.B) {
	tenant := tenancytest.NewTenant("acme")
	resolve := tenancy.Must(resolver.NewSubdomain([]string{"localhost"}, nil))
	chain := tenancy.Must(middleware.Standard(finder{tenant}, resolve, nil))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	store, err := analytics.NewMemory(nil)
	if err != nil {
		b.Fatal(err)
	}
	rec := newRecorder(b, store, nil)
	for name, h := range map[string]http.Handler{"without": chain, "with": rec.Handler(chain)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := &discard{header: http.Header{}}
			r := httptest.NewRequestWithContext(b.Context(), "GET", "http://acme.localhost/", nil)
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
		b.Run(name+" on all processors", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				w := &discard{header: http.Header{}}
				r := httptest.NewRequestWithContext(b.Context(), "GET", "http://acme.localhost/", nil)
				for pb.Next() {
					h.ServeHTTP(w, r)
				}
			})
		})
	}
}

// BenchmarkForecasts is when two limits of a tenant are reached, by 90 days with a season.
func BenchmarkForecasts(b *testing.B) {
	today := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	limits := analytics.DefaultLimits()
	h := analytics.TenantHistory{Today: today, Limits: map[string]int64{}, Days: map[string][]analytics.DayValue{}}
	r := rand.New(rand.NewPCG(1, 7)) // a benchmark
	for name, key := range limits {
		h.Limits[key] = 10_000
		for i := range 90 {
			v := 5000 + 40*float64(i) + 1500*math.Sin(2*math.Pi*float64(i)/7) + 200*r.NormFloat64()
			h.Days[name] = append(h.Days[name], analytics.DayValue{Day: today.AddDate(0, 0, i-90), Value: v})
		}
	}
	for b.Loop() {
		if f := h.First(limits); f.Reached == nil {
			b.Fatalf("got %+v, want the day on which the limit is reached", f)
		}
	}
}

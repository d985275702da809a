package maintenance_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
)

// blackHole is a response writer that keeps only headers.
type blackHole struct{ header http.Header }

func (w blackHole) Header() http.Header         { return w.header }
func (w blackHole) Write(b []byte) (int, error) { return len(b), nil }
func (w blackHole) WriteHeader(int)             {}

var empty = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func (k *rig) benchRequest(b *testing.B) *http.Request {
	r := &http.Request{Method: http.MethodGet, Host: "x", URL: &url.URL{Path: "/notes/7"}, RemoteAddr: "192.0.2.1:1", Header: http.Header{}}
	return r.WithContext(tenancy.NewContext(context.Background(), k.tenant(b, k.acme)))
}

// BenchmarkGuard is what a request pays, beside the handler alone.
func BenchmarkGuard(b *testing.B) {
	k := newRig(b, maintenance.GateOptions{Refuse: func(http.ResponseWriter, *http.Request, error) {}})
	for _, each := range []struct {
		name  string
		h     http.Handler
		begin *tenancy.Maintenance
	}{
		{"baseline", empty, nil},
		{"none", k.gate.Guard(empty), nil},
		{"planned", k.gate.Guard(empty), &tenancy.Maintenance{Windows: []tenancy.Window{
			{Start: time.Now().Add(24 * time.Hour)}, {Rule: "0 3 1 1 *", Length: time.Second, Zone: "Europe/Berlin"}}}},
		{"allowed", k.gate.Guard(empty), &tenancy.Maintenance{Paths: []string{"/notes"}}},
		{"read-only", k.gate.Guard(empty), &tenancy.Maintenance{Mode: tenancy.MaintenanceReadOnly}},
		{"refused", k.gate.Guard(empty), &tenancy.Maintenance{}},
	} {
		if each.begin != nil {
			k.begin(b, *each.begin)
		}
		r, w := k.benchRequest(b), blackHole{http.Header{}}
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				each.h.ServeHTTP(w, r)
			}
		})
		if each.begin == nil {
			b.Run(each.name+"/parallel", func(b *testing.B) {
				b.RunParallel(func(pb *testing.PB) {
					w := blackHole{http.Header{}}
					for pb.Next() {
						each.h.ServeHTTP(w, r)
					}
				})
			})
		}
	}
}

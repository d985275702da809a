package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/artflow-studio/tenancy"
)

const meterScope = "github.com/artflow-studio/tenancy/admin" // of metrics

// metrics are the instruments of the console. A nil *metrics counts nothing.
type metrics struct {
	duration   metric.Float64Histogram // seconds
	signIns    metric.Int64Counter
	unregister func() error
}

// newMetrics makes the instruments, of which some read the console's figures when somebody collects them.
func (a *Admin) newMetrics(provider metric.MeterProvider) (*metrics, error) {
	m := provider.Meter(meterScope)
	out := &metrics{}
	var err1, err2, err3, err4, err5, err6 error
	out.duration, err1 = m.Float64Histogram("tenancy.admin.request.duration", metric.WithUnit("s"), metric.WithDescription("How long requests of the console took, by route and status. Streams are not among them."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	out.signIns, err2 = m.Int64Counter("tenancy.admin.sign_ins", metric.WithUnit("{sign-in}"), metric.WithDescription("Passwords that were shown, by result: done, denied, limited, or failed."))
	streams, err3 := m.Int64ObservableUpDownCounter("tenancy.admin.streams", metric.WithUnit("{stream}"), metric.WithDescription("Streams that are open."))
	exports, err4 := m.Int64ObservableUpDownCounter("tenancy.admin.exports", metric.WithUnit("{export}"), metric.WithDescription("Exports that are under way."))
	pending, err5 := m.Int64ObservableGauge("tenancy.admin.audit.pending", metric.WithUnit("{entry}"), metric.WithDescription("Entries of the audit that are not sealed yet."))
	age, err6 := m.Float64ObservableGauge("tenancy.admin.audit.pending.age", metric.WithUnit("s"), metric.WithDescription("The age of the oldest entry that is not sealed yet."))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		to.ObserveInt64(streams, int64(a.live.open()))
		to.ObserveInt64(exports, int64(a.exports.open()))
		if a.opts.Audit != nil {
			n, oldest := a.health.sealing()
			to.ObserveInt64(pending, n)
			seconds := 0.0
			if !oldest.IsZero() {
				seconds = time.Since(oldest).Seconds()
			}
			to.ObserveFloat64(age, seconds)
		}
		return nil
	}, streams, exports, pending, age)
	if err != nil {
		return nil, err
	}
	out.unregister = registration.Unregister
	return out, nil
}

// request counts a request of a row.
func (m *metrics) request(ctx context.Context, row *route, status int, began time.Time) {
	if m == nil || row.pattern == "live" {
		return
	}
	m.duration.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(
		attribute.String("http.request.method", row.method), attribute.String("http.route", base+row.pattern), attribute.Int("http.response.status_code", status)))
}

// signIn counts a password that was shown.
func (m *metrics) signIn(ctx context.Context, err error) {
	if m == nil {
		return
	}
	result := "done"
	switch {
	case errors.Is(err, tenancy.ErrUnauthenticated), errors.Is(err, tenancy.ErrForbidden):
		result = "denied"
	case errors.Is(err, tenancy.ErrLimited):
		result = "limited"
	case err != nil:
		result = "failed"
	}
	m.signIns.Add(ctx, 1, metric.WithAttributes(attribute.String("tenancy.admin.result", result)))
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

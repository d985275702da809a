package checks_test

import (
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/admin/internal/checks"
	"github.com/artflow-studio/tenancy/analytics"
)

// A tenant is healthy once its database has answered, and not because somebody was refused.
func TestTenant(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		usage  map[analytics.Column]float64
		seen   checks.Seen
		health string
		reason string // the first one
	}{
		"nobody came":                {map[analytics.Column]float64{}, checks.Seen{}, checks.Unknown, "unused"},
		"served":                     {map[analytics.Column]float64{analytics.Requests: 3, analytics.Statements: 9, analytics.StatementErrors: 8}, checks.Seen{}, checks.Healthy, ""},
		"only refused":               {map[analytics.Column]float64{analytics.Requests: 1, analytics.Status4xx: 1, analytics.Statements: 0}, checks.Seen{}, checks.Unknown, "unanswered"},
		"no statement succeeded":     {map[analytics.Column]float64{analytics.Requests: 3, analytics.Statements: 2, analytics.StatementErrors: 2}, checks.Seen{}, checks.Unknown, "unanswered"},
		"statements are not counted": {map[analytics.Column]float64{analytics.Requests: 3, analytics.Status2xx: 1, analytics.Status4xx: 2}, checks.Seen{}, checks.Healthy, ""},
		"statements are not counted, and refused": {map[analytics.Column]float64{analytics.Requests: 3, analytics.Status4xx: 3}, checks.Seen{}, checks.Unknown, "unanswered"},
		"no such server": {map[analytics.Column]float64{analytics.Requests: 3, analytics.Statements: 9}, checks.Seen{ServerUnknown: now}, checks.Unreachable, "server-unknown"},
	} {
		usage := map[string]*analytics.Figure{}
		for c, v := range tt.usage {
			usage[c.String()] = &analytics.Figure{Value: v}
		}
		health, reasons := checks.Tenant(&analytics.TenantEntry{TenantUsage: analytics.TenantUsage{Usage: usage}}, tt.seen, now)
		first := ""
		if len(reasons) > 0 {
			first = reasons[0].Kind
		}
		if health != tt.health || first != tt.reason {
			t.Errorf("%s: got %s and %q, want %s and %q", name, health, first, tt.health, tt.reason)
		}
	}
}

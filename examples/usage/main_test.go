package main

import (
	"regexp"
	"strings"
	"testing"
)

// What is printed is what was sent.
func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`total_tenants +3 count +measured`, `active_tenants +3 count`, `requests +102 count +measured ±0%`, `errors +5 count`, `cpu_usage +\d+ us +estimated ±70%`,
		`Tenants \(2\)`, `(?s)acme.*globex`, `Tenant acme, of the plan gold`, `requests +75 count`, `slow +\d+ count`, `latency_p95 +\d+ us +measured ±9%`,
		`emails +15 count +measured`, `statements +60 count +measured`, `statement_time +\d+ us +measured`, `waits +\d+ count`, `page: somebody looked at /`, `in_flight +\d+ count`,
		`SELECT COUNT\(\*\) FROM tenancy_marker WHERE \? < \?\s+calls +60 count +measured ±0%\s+longest +\d+ us +measured`,
		`(?s)Routes of acme.*GET /\s+requests +60 count +measured ±0%\s+latency_p95 +\d+ us`, `acme in \d{4}-\d\d\s+requests +75 count +measured`,
		`rss +\d+ bytes +measured`, `connections +\d+ bytes +estimated ±100%`, `(?s)Neighbours, \d\d:\d\d to \d\d:\d\d: \d noisy.*no proof of a cause`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("want %s in:\n%s", want, out.String())
		}
	}
}

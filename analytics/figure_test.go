package analytics_test

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy/analytics"
)

// Programs and templates print a figure as people write it.
func TestFigureString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value   float64
		unit    string
		off     float64
		partial bool
		want    string
	}{
		{9, analytics.UnitCount, 0, false, "9"},
		{12345678, analytics.UnitCount, 0, false, "12345678"},
		{0.125, analytics.UnitCount, 0, false, "0.13"},
		{9, analytics.UnitCount, 0, true, "9 (partial)"},
		{0, analytics.UnitBytes, 0, false, "0 B"},
		{1023, analytics.UnitBytes, 0, false, "1023 B"},
		{32 << 10, analytics.UnitBytes, 0, false, "32 KiB"},
		{1.26 * (1 << 30), analytics.UnitBytes, 1, false, "1.3 GiB ±100 %"},
		{5 << 60, analytics.UnitBytes, 0, false, "5120 PiB"},
		{733, analytics.UnitMicroseconds, 0.0905, false, "733µs ±9 %"},
		{6979, analytics.UnitMicroseconds, 0.004, true, "6.979ms ±0.4 % (partial)"},
		{12345, analytics.UnitMicroseconds, 0, false, "12ms"},
		{1234567, analytics.UnitMicroseconds, 0, false, "1.235s"},
		{83456789, analytics.UnitMicroseconds, 0, false, "1m23s"},
		{-83456789, analytics.UnitMicroseconds, 0, false, "-1m23s"},
		{math.MaxInt64, analytics.UnitMicroseconds, 0, false, "9223372036854.78s"},
		{12.5, analytics.UnitPerSecond, 0, false, "12.5/s"},
		{0.25, analytics.UnitProcessors, 0.7, false, "0.25 processors ±70 %"},
		{1784000000000000, analytics.UnitTime, 0, false, "2026-07-14T03:33:20Z"},
	} {
		f := &analytics.Figure{Value: tt.value, Unit: tt.unit, Method: analytics.Measured, Error: tt.off, Partial: tt.partial}
		if got := fmt.Sprint(f); got != tt.want {
			t.Errorf("%v %s: got %q, want %q", tt.value, tt.unit, got, tt.want)
		}
		var page strings.Builder
		if err := template.Must(template.New("").Parse(`{{.}}`)).Execute(&page, f); err != nil || page.String() != tt.want {
			t.Errorf("in a template: got %q, %v, want %q", page.String(), err, tt.want)
		}
	}
	if got := fmt.Sprint((*analytics.Figure)(nil)); got != "<nil>" {
		t.Errorf("nobody knows it: got %q, want <nil>", got)
	}
}

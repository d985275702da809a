package analytics

import (
	"time"
)

// Figure is one number of a report, and how it was obtained. A nil *Figure is a number
// that nobody knows: absent is not zero.
type Figure struct {
	// Value is exact up to 2^53.
	Value float64 `json:"value"`
	// Unit is one of the units of this package.
	Unit   string `json:"unit"`
	Method Method `json:"method"`
	// Error is the relative error: by which share of Value the true value may differ. It is 0 for what was
	// counted.
	Error float64 `json:"error"`
	// MeasuredAt is when the newest part of it was measured.
	MeasuredAt time.Time `json:"measured_at"`
	// Partial is set when a part is missing, such as what an instance counted that
	// does not write any more.
	Partial bool `json:"partial,omitempty"`
}

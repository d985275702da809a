package analytics

import (
	"math"
	"strconv"
	"time"
)

// Figure is one number of a report, and how it was obtained. A nil *Figure is a number
// that nobody knows: absent is not zero. [Figure.String] is its text for people.
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

// String returns the figure for people: its value with its unit, how far the true value may
// be off, and whether a part is missing. Examples: "9", "32 KiB", "733µs ±9 %", "9 (partial)".
// Times are in UTC. The fmt package prints <nil> for a nil *Figure.
func (f Figure) String() string {
	text := f.amount()
	switch percent := 100 * f.Error; {
	case percent >= 1:
		text += " ±" + strconv.FormatFloat(percent, 'f', 0, 64) + " %"
	case percent > 0:
		text += " ±" + strconv.FormatFloat(percent, 'g', 1, 64) + " %"
	}
	if f.Partial {
		text += " (partial)"
	}
	return text
}

// amount returns the value with its unit.
func (f Figure) amount() string {
	switch f.Unit {
	case UnitCount, "":
		return twoPlaces(f.Value)
	case UnitBytes:
		return bytesText(f.Value)
	case UnitMicroseconds:
		if math.Abs(f.Value) >= math.MaxInt64/1000 { // longer than a time.Duration, 292 years
			return twoPlaces(f.Value/1e6) + "s"
		}
		d := time.Duration(math.Round(f.Value)) * time.Microsecond
		for unit := time.Second; unit > time.Microsecond; unit /= 1000 {
			if d >= 10*unit || d <= -10*unit {
				return d.Round(unit).String()
			}
		}
		return d.String()
	case UnitPerSecond:
		return twoPlaces(f.Value) + "/s"
	case UnitTime:
		return time.UnixMicro(int64(f.Value)).UTC().Format(time.RFC3339)
	}
	return twoPlaces(f.Value) + " " + f.Unit
}

// twoPlaces returns a number with at most two digits behind the point.
func twoPlaces(v float64) string { return decimal(math.Round(v*100) / 100) }

// bytesText returns a number of bytes in the largest unit of which there is one.
func bytesText(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; math.Abs(n) >= 1024 && i < len(units)-1; i++ {
		n /= 1024
	}
	return decimal(math.Round(n*10)/10) + " " + units[i]
}

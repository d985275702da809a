package analytics

import (
	"fmt"
	"math"

	"github.com/artflow-studio/tenancy"
)

// Column is one quantity that is counted for each tenant.
type Column uint8

// The columns. Durations are microseconds, sizes are bytes.
const (
	// Requests counts requests whose handler returned. By status class they are
	// Status1xx to Status5xx, where a request that was answered with no status
	// counts as the class of the status that net/http sends for it.
	Requests Column = iota
	Status1xx
	Status2xx
	Status3xx
	Status4xx
	Status5xx
	// Limited to Panicked count requests by outcome; others went through.
	Limited     // refused by a limit
	Maintenance // refused by maintenance
	Unavailable // refused because something did not answer
	Cancelled   // the client went away
	Panicked    // the handler panicked
	// Slow counts requests that took longer than the tenant's own target,
	// Limits["slo.latency_ms"].
	Slow
	// LatencyTime is the sum of the requests' latencies.
	LatencyTime
	// BytesIn and BytesOut are bytes of bodies, as handlers read and wrote them.
	BytesIn
	BytesOut
	// InFlight is the largest number of requests at once.
	InFlight
	// Statements to StatementTime are what the tenant's database was asked, begins and
	// ends of transactions among them, and the time that took, with the reading of rows.
	Statements
	StatementErrors
	StatementTime
	// Waits to ConnectionTime are requests for a connection that did not get one at
	// once, those that got none, the time waited, and the time that connections were held.
	Waits
	WaitsFailed
	WaitTime
	ConnectionTime
	// CPUTime is the estimate of the processor time.
	CPUTime
	// Jobs counts the work of [Recorder.Do], JobErrors that which failed.
	Jobs
	JobErrors
	// MemoryBytes is the largest number of bytes that the library could account for.
	MemoryBytes
	// LastSeen is when the tenant was last heard of, in microseconds since 1970.
	LastSeen

	numColumns = iota
)

// Method says how a figure was obtained.
type Method string

// The methods.
const (
	Measured  Method = "measured"
	Sampled   Method = "sampled"
	Estimated Method = "estimated"
)

// Units of figures.
const (
	UnitCount        = "count"
	UnitBytes        = "bytes"
	UnitMicroseconds = "us"
	UnitPerSecond    = "1/s"
	UnitProcessors   = "processors" // 1 is one processor, busy all the time
	UnitTime         = "us_since_1970"
)

// columnInfo says what a column is called and how two of its values become one.
type columnInfo struct {
	name    string // in SQL and JSON
	unit    string
	largest bool // the larger of two values counts, not their sum
	method  Method
}

var columnInfos = [numColumns]columnInfo{
	Requests:        {"requests", UnitCount, false, Measured},
	Status1xx:       {"status_1xx", UnitCount, false, Measured},
	Status2xx:       {"status_2xx", UnitCount, false, Measured},
	Status3xx:       {"status_3xx", UnitCount, false, Measured},
	Status4xx:       {"status_4xx", UnitCount, false, Measured},
	Status5xx:       {"status_5xx", UnitCount, false, Measured},
	Limited:         {"limited", UnitCount, false, Measured},
	Maintenance:     {"maintenance", UnitCount, false, Measured},
	Unavailable:     {"unavailable", UnitCount, false, Measured},
	Cancelled:       {"cancelled", UnitCount, false, Measured},
	Panicked:        {"panicked", UnitCount, false, Measured},
	Slow:            {"slow", UnitCount, false, Measured},
	LatencyTime:     {"latency_time", UnitMicroseconds, false, Measured},
	BytesIn:         {"bytes_in", UnitBytes, false, Measured},
	BytesOut:        {"bytes_out", UnitBytes, false, Measured},
	InFlight:        {"in_flight", UnitCount, true, Measured},
	Statements:      {"statements", UnitCount, false, Measured},
	StatementErrors: {"statement_errors", UnitCount, false, Measured},
	StatementTime:   {"statement_time", UnitMicroseconds, false, Measured},
	Waits:           {"waits", UnitCount, false, Measured},
	WaitsFailed:     {"waits_failed", UnitCount, false, Measured},
	WaitTime:        {"wait_time", UnitMicroseconds, false, Measured},
	ConnectionTime:  {"connection_time", UnitMicroseconds, false, Measured},
	CPUTime:         {"cpu_time", UnitMicroseconds, false, Estimated},
	Jobs:            {"jobs", UnitCount, false, Measured},
	JobErrors:       {"job_errors", UnitCount, false, Measured},
	MemoryBytes:     {"memory_bytes", UnitBytes, true, Estimated},
	LastSeen:        {"last_seen", UnitTime, true, Measured},
}

// relativeError returns by which share a value may differ from the truth.
func (c Column) relativeError() float64 {
	switch c {
	case CPUTime:
		return cpuError
	case MemoryBytes:
		return memoryError
	}
	return 0
}

// Columns returns all columns, in their order.
func Columns() []Column {
	all := make([]Column, numColumns)
	for i := range all {
		all[i] = Column(i) // there are few
	}
	return all
}

// ParseColumn returns the column of that name. Another name is an error that
// wraps [tenancy.ErrInvalid].
func ParseColumn(name string) (Column, error) {
	for i, info := range columnInfos {
		if info.name == name {
			return Column(i), nil // there are few
		}
	}
	return 0, fmt.Errorf("%w: no column is called %.60q", tenancy.ErrInvalid, name)
}

// String returns the column's name, in SQL and JSON.
func (c Column) String() string {
	if c >= numColumns {
		return fmt.Sprintf("Column(%d)", uint8(c))
	}
	return columnInfos[c].name
}

// Unit returns the unit of the column's values.
func (c Column) Unit() string { return columnInfos[c].unit }

// setOf returns a set of columns as a number.
func setOf(columns []Column) (set int64) {
	for _, c := range columns {
		set |= 1 << c
	}
	return set
}

// columnsOf is the opposite.
func columnsOf(set int64) (columns []Column) {
	for _, c := range Columns() {
		if set&(1<<c) != 0 {
			columns = append(columns, c)
		}
	}
	return columns
}

// most is the largest value that a column of one row has. Thousands of them fit
// into a sum.
const most = 1 << 50

// add returns a+b, or the largest number that there is.
func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

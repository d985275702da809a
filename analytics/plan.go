package analytics

import "time"

// How long reports read rows.
const (
	keepParts   = 3 * time.Hour
	keepMinutes = 49 * time.Hour // so that the day before the last one is read by the minute
	keepHours   = 100 * day
	keepDays    = 25 * 31 * day
)

// How long minutes and hours stay: somewhat longer than reports read them, because a period may
// begin there and end in the same longer row, and because a report takes some time.
const (
	minutesStay = keepMinutes + 2*time.Hour
	hoursStay   = keepHours + 2*day
)

const day = 24 * time.Hour

// table is one of the tables of counts, with the length of its rows.
type table struct {
	name string
	row  time.Duration
}

var (
	partsTable   = table{"tenancy_usage_parts", time.Minute}
	lateTable    = table{"tenancy_usage_late", time.Minute} // is read beside each of the others
	minutesTable = table{"tenancy_usage_1m", time.Minute}
	hoursTable   = table{"tenancy_usage_1h", time.Hour}
	daysTable    = table{"tenancy_usage_1d", day}
)

// piece says from which table a span of a period is read.
type piece struct {
	table    table
	from, to time.Time
	span     string // of sums that are kept ready
	fleet    bool   // a row is that of all tenants
}

// level is a table that holds what was rolled up so far, and how long the table of the
// next shorter rows is kept.
type level struct {
	table   table
	done    time.Time
	shorter time.Duration
}

// plan divides a period into pieces, each read from the table with the longest rows
// that fit: days and hours that were rolled up, minutes and parts at the edges and
// behind the last roll-up. No row is longer than step, if that is set. A period that
// begins or ends where the short rows are kept no longer does so with the whole long row. It
// ends with the present minute.
func plan(p Period, step time.Duration, state *State) []piece {
	to := ceil(p.To, time.Minute)
	if end := ceil(state.Now, time.Minute); to.After(end) {
		to = end
	}
	return divide(p.From.Truncate(time.Minute), to, state.Now, step, []level{
		{daysTable, state.Days, keepHours}, {hoursTable, state.Hours, keepMinutes}, {minutesTable, state.Minutes, keepParts},
	})
}

// read returns the period that is read of one: see plan. Minutes at its ends are left as they are.
func (s *State) read(p Period) Period {
	for _, row := range []time.Duration{time.Hour, day} { // a whole hour may begin where there are days alone
		if fineOf(s.Now.Sub(p.From.Truncate(time.Minute))) >= row {
			p.From = p.From.Truncate(row)
		}
		if fineOf(s.Now.Sub(ceil(p.To, time.Minute))) >= row {
			p.To = ceil(p.To, row)
		}
	}
	return p
}

func divide(from, to, now time.Time, step time.Duration, levels []level) []piece {
	if !from.Before(to) {
		return nil
	}
	if len(levels) == 0 {
		return []piece{{table: partsTable, from: from, to: to}}
	}
	l, rest := levels[0], levels[1:]
	if step != 0 && l.table.row > step {
		return divide(from, to, now, step, rest)
	}
	begin, end := ceil(from, l.table.row), to.Truncate(l.table.row)
	if from.Before(now.Add(-l.shorter)) {
		begin = from.Truncate(l.table.row)
	}
	if to.Before(now.Add(-l.shorter)) {
		end = ceil(to, l.table.row)
	}
	if l.done.Before(end) {
		end = l.done
	}
	if !begin.Before(end) {
		return divide(from, to, now, step, rest)
	}
	pieces := append(divide(from, begin, now, step, rest), piece{table: l.table, from: begin, to: end})
	return append(pieces, divide(end, to, now, step, rest)...)
}

// ceil returns the first multiple of d that is not before t.
func ceil(t time.Time, d time.Duration) time.Time {
	if floor := t.Truncate(d); floor.Before(t) {
		return floor.Add(d)
	}
	return t
}

// spanMonth is the span of the sums of months. The bucket of such a sum is the begin of its
// month.
const spanMonth = "month"

// monthOf returns the begin of a time's month, in UTC.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// withMonths reads the sums of whole months instead of their days, up to when there are such.
func withMonths(pieces []piece, done time.Time) []piece {
	var out []piece
	for _, p := range pieces {
		begin, end := monthOf(p.from), monthOf(p.to)
		if begin.Before(p.from) {
			begin = begin.AddDate(0, 1, 0)
		}
		if done.Before(end) {
			end = done
		}
		if p.table != daysTable || !begin.Before(end) {
			out = append(out, p)
			continue
		}
		if p.from.Before(begin) {
			out = append(out, piece{table: daysTable, from: p.from, to: begin})
		}
		for at := begin; at.Before(end); at = at.AddDate(0, 1, 0) {
			out = append(out, piece{table: table{name: sumsTable}, from: at, to: at.AddDate(0, 1, 0), span: spanMonth})
		}
		if end.Before(p.to) {
			out = append(out, piece{table: daysTable, from: end, to: p.to})
		}
	}
	return out
}

// withLate adds a piece of the late parts of the whole period, if there is one.
func withLate(pieces []piece) []piece {
	if len(pieces) == 0 {
		return nil
	}
	return append(pieces, piece{table: lateTable, from: pieces[0].from, to: pieces[len(pieces)-1].to})
}

// together makes pieces of rolled-up rows those of all tenants, where there are such.
func together(pieces []piece, since time.Time) []piece {
	since = ceil(since, day) // a day's row is made of all of its hours
	var out []piece
	for _, p := range pieces {
		switch {
		case p.table == partsTable, p.table == lateTable, !p.to.After(since):
			out = append(out, p)
			continue
		case p.from.Before(since):
			out = append(out, piece{table: p.table, from: p.from, to: since})
			p.from = since
		}
		p.fleet = true
		out = append(out, p)
	}
	return out
}

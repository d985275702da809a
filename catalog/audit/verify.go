package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// pageLength is how many entries are read at a time.
const pageLength = 2000

// late is how much older than a checkpoint before it an entry may be without being counted:
// transactions take their time, and clocks differ.
const late = 24 * time.Hour

// Report is what a verification found.
type Report struct {
	// Entries is the number of entries that are as they were sealed.
	Entries int64 `json:"entries"`
	// Number is that of the last of them, and Hash that of all up to it.
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
	// Cut is the number of the last removed entry, behind which the verification began. Zero: the audit was
	// never cut.
	Cut int64 `json:"cut,omitempty"`
	// Signed is the number of the last entry that a checkpoint vouches for.
	Signed int64 `json:"signed"`
	// Late is the number of entries whose time is more than a day before that of a checkpoint in front of them. That
	// is no fault: they may be imported, or of a clock that was wrong. So are entries, too, that somebody writes into
	// the table with an old time.
	Late int64 `json:"late,omitempty"`
	// Fault is the first fault, or nil if the audit is whole.
	Fault *Fault `json:"fault,omitempty"`
}

// Fault is the first place at which the audit is not what was sealed.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Number is that of the entry which is altered or missing.
	Number int64 `json:"number"`
	// Entry is the entry's ID, or empty if it is not known.
	Entry string `json:"entry,omitempty"`
	// Detail says more, for people.
	Detail string `json:"detail"`
}

// FaultKind says what is wrong with an audit.
type FaultKind string

// The kinds of faults.
const (
	// FaultAltered is an entry that was altered, or put in the place of another.
	FaultAltered FaultKind = "altered"
	// FaultMissing is an entry that was removed, or whose number was altered.
	FaultMissing FaultKind = "missing"
	// FaultAdded is an entry with a number that was never assigned.
	FaultAdded FaultKind = "added"
	// FaultHead is a record of the last entry that contradicts the entry.
	FaultHead FaultKind = "head"
	// FaultCheckpoint is a checkpoint that contradicts the entries, or has an unknown signature.
	FaultCheckpoint FaultKind = "checkpoint"
	// FaultCut is a cut of another audit, or one with an unknown signature.
	FaultCut FaultKind = "cut"
)

// Error returns the text for logs.
func (f *Fault) Error() string {
	s := fmt.Sprintf("audit: entry %d", f.Number)
	if f.Entry != "" {
		s += " (" + f.Entry + ")"
	}
	return s + " is " + string(f.Kind) + ": " + f.Detail
}

// Verify seals what was committed, reads the whole audit, and reports the first fault, if there is one: an
// entry that is not as it was sealed, or that contradicts a checkpoint signed with [Options.Key] or one of the
// OldKeys. Beside the checkpoints, of which there is one a minute at most, it needs little memory however long
// the audit is. An error says that the audit could not be read;
// then the report is nil.
func (t *Trail) Verify(ctx context.Context) (*Report, error) {
	report, err := t.verify(ctx, func(Progress) error { return nil })
	return report, wrap("audit.Trail.Verify", err)
}

// Progress says how far a verification has come.
type Progress struct {
	// Number is that of the last entry that was found as it was sealed, and Last that of
	// the last entry there is.
	Number int64 `json:"number"`
	Last   int64 `json:"last"`
}

// VerifyEach is [Trail.Verify], and calls progress before each part of the
// audit that it reads. An error of progress ends the verification and is returned. Progress goes
// back to the beginning if the audit is cut meanwhile.
func (t *Trail) VerifyEach(ctx context.Context, progress func(Progress) error) (*Report, error) {
	report, err := t.verify(ctx, progress)
	return report, wrap("audit.Trail.VerifyEach", err)
}

// verify begins again when the audit was cut while it was read.
func (t *Trail) verify(ctx context.Context, progress func(Progress) error) (*Report, error) {
	for {
		from, err := t.lastCut(ctx, t.db)
		if err != nil {
			return nil, err
		}
		report, err := t.verifyFrom(ctx, from, progress)
		if err != nil || report.Fault == nil {
			return report, err
		}
		now, err := t.lastCut(ctx, t.db)
		if err != nil || now == nil || from != nil && *now == *from {
			return report, err
		}
		if from != nil && now.Number <= from.Number || now.fault("", t.opts.publicKeys()) != nil {
			return report, nil
		}
	}
}

func (t *Trail) verifyFrom(ctx context.Context, from *Cut, progress func(Progress) error) (*Report, error) {
	report := &Report{Hash: genesis}
	if from != nil {
		report.Hash, report.Number, report.Cut = from.Hash, from.Number, from.Number
	}
	before, err := t.head(ctx, t.db)
	if errors.Is(err, tenancy.ErrNotFound) {
		report.Fault = &Fault{Kind: FaultHead, Detail: "the record of the last entry was removed"}
		return report, nil
	}
	if err != nil {
		return nil, err
	}
	if err := t.runOnce(ctx); err != nil {
		// A fault may be what keeps the sealer from sealing.
		fault, checked := t.check(ctx, report, from, before, progress)
		if checked != nil || fault == nil {
			return nil, err
		}
		report.Fault = fault
		return report, nil
	}
	last, err := t.head(ctx, t.db)
	if err != nil {
		return nil, err
	}
	report.Fault, err = t.check(ctx, report, from, last, progress)
	if err != nil {
		return nil, err
	}
	return report, nil
}

// check compares the entries up to the head with their hashes.
func (t *Trail) check(ctx context.Context, report *Report, from *Cut, last head, progress func(Progress) error) (*Fault, error) {
	var checkpoints []Checkpoint
	keys := t.opts.publicKeys()
	if len(keys) > 0 {
		var err error
		if checkpoints, err = t.Checkpoints(ctx); err != nil {
			return nil, err
		}
	}
	w, fault := newWitness(last.Trail, checkpoints, keys)
	if fault != nil {
		return fault, nil
	}
	if from != nil {
		if fault := from.fault(last.Trail, keys); fault != nil {
			return fault, nil
		}
		if last.Number < from.Number {
			return &Fault{FaultHead, last.Number, "", "the record of the last entry is before the cut"}, nil
		}
		if fault := w.see(from.Number, from.Hash); fault != nil {
			return fault, nil
		}
		if len(keys) > 0 {
			report.Signed = from.Number
		}
	}
	for report.Number < last.Number {
		if err := progress(Progress{report.Number, last.Number}); err != nil {
			return nil, err
		}
		if fault, err := t.verifyPage(ctx, t.db, report, last.Number, w, ""); err != nil || fault != nil {
			return fault, err
		}
	}
	if report.Hash != last.Hash {
		return &Fault{FaultHead, last.Number, "", "the record of the last entry has another hash"}, nil
	}
	if fault := w.end(report.Number); fault != nil {
		newest, err := t.head(ctx, t.db) // a checkpoint may have been made meanwhile
		if err != nil || newest.Number < w.last() {
			return fault, err
		}
	}
	return t.added(ctx, report.Cut)
}

// verifyPage reads a page of the entries behind the report's last, up to that number, with
// that lock, and compares them with their hashes and with the checkpoints. The report then
// says up to where they are as they were sealed.
func (t *Trail) verifyPage(ctx context.Context, q sqlx.QueryerContext, report *Report, last int64, w *witness, lock string) (*Fault, error) {
	page, err := t.read(ctx, q, `number > ? AND number <= ? ORDER BY number LIMIT ?`+lock, report.Number, last, pageLength)
	if err != nil && !errors.Is(err, errUnreadable) {
		return nil, err
	}
	var line []byte
	for i := range page {
		r, number := &page[i], report.Number+1
		if r.number.Int64 != number {
			return missing(number), nil
		}
		line = r.appendLine(line[:0], number)
		hash := chain(report.Hash, line)
		if hash != r.hash.String {
			return &Fault{FaultAltered, number, r.id, "it does not have the hash that it was sealed with"}, nil
		}
		if fault := report.take(w, hash, r.time); fault != nil {
			return fault, nil
		}
	}
	if err != nil {
		return &Fault{FaultAltered, report.Number + 1, "", err.Error()}, nil
	}
	if len(page) == 0 {
		return missing(report.Number + 1), nil
	}
	return nil, nil
}

// take adds the next entry, which is as it was sealed, and returns the fault if a checkpoint
// contradicts it.
func (r *Report) take(w *witness, hash string, micros int64) *Fault {
	r.Entries, r.Number, r.Hash = r.Entries+1, r.Number+1, hash
	if micros < w.seen.Add(-late).UnixMicro() {
		r.Late++
	}
	before := len(w.left)
	if fault := w.see(r.Number, hash); fault != nil {
		return fault
	}
	if len(w.left) < before {
		r.Signed = r.Number
	}
	return nil
}

func missing(number int64) *Fault {
	return &Fault{FaultMissing, number, "", "no entry has this number"}
}

// added looks for an entry before the first, or beyond the head as it is now: it may
// have grown.
func (t *Trail) added(ctx context.Context, cut int64) (*Fault, error) {
	page, err := t.read(ctx, t.db, `number <= ? OR number > (SELECT number FROM tenancy_audit_head WHERE id = 1) ORDER BY number LIMIT 1`, cut)
	if errors.Is(err, errUnreadable) || err == nil && len(page) > 0 {
		f := &Fault{Kind: FaultAdded, Detail: "no entry was sealed with this number"}
		if len(page) > 0 {
			f.Number, f.Entry = page[0].number.Int64, page[0].id
		}
		return f, nil
	}
	return nil, err
}

package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/artflow-studio/tenancy"
)

// maxLine is the length of the longest line of an export.
const maxLine = 64 << 20

// cutLine is the first line of the export of an audit that was cut.
type cutLine struct {
	Cut *Cut `json:"cut"`
}

// Export seals what was committed and writes all sealed entries, each in a line, in canonical form. If the
// audit was cut, the first line is about the [Cut]. A verification needs the lines and the checkpoints, and
// nothing else: see [VerifyExport], and docs/audit.md for a verification by hand. Export does not verify. If
// [Trail.Cut] removes entries meanwhile that were not written yet, the error wraps [tenancy.ErrConflict].
func (t *Trail) Export(ctx context.Context, w io.Writer) error {
	return wrap("audit.Trail.Export", t.export(ctx, w))
}

func (t *Trail) export(ctx context.Context, w io.Writer) error {
	if err := t.runOnce(ctx); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	var line []byte
	last, gap := int64(0), false
	cut, err := t.lastCut(ctx, t.db)
	if err != nil {
		return err
	}
	if cut != nil {
		first, err := json.Marshal(cutLine{cut})
		if err != nil {
			return err
		}
		if _, err := out.Write(append(first, '\n')); err != nil {
			return fmt.Errorf("%w: writing the export: %w", tenancy.ErrUnavailable, err)
		}
		last = cut.Number
	}
	for {
		page, err := t.read(ctx, t.db, `number > ? ORDER BY number LIMIT ?`, last, pageLength)
		if err != nil {
			return err
		}
		for i := range page {
			gap = gap || page[i].number.Int64 != last+1
			last = page[i].number.Int64
			line = append(page[i].appendLine(line[:0], last), '\n')
			if _, err := out.Write(line); err != nil {
				return fmt.Errorf("%w: writing the export: %w", tenancy.ErrUnavailable, err)
			}
		}
		if len(page) < pageLength {
			break
		}
	}
	now, err := t.lastCut(ctx, t.db)
	if err != nil {
		return err
	}
	if now != nil && (cut == nil || *now != *cut) && (gap || now.Number > last) {
		return fmt.Errorf("%w: entries up to %d were removed during the export; export again", tenancy.ErrConflict, now.Number)
	}
	return out.Flush()
}

// VerifyExport reads an export and reports whether it is what the checkpoints, signed by one of the keys, say.
// Without the database it cannot know what follows the last checkpoint: [Report.Signed] says up to where the
// export is proven. An error says that the export could not be read, or wraps [tenancy.ErrInvalid] if there are
// no keys or no checkpoints.
func VerifyExport(export io.Reader, checkpoints []Checkpoint, keys ...ed25519.PublicKey) (*Report, error) {
	const op = "audit.VerifyExport"
	if len(keys) == 0 || len(checkpoints) == 0 {
		return nil, wrap(op, fmt.Errorf("%w: want keys and checkpoints to verify by", tenancy.ErrInvalid))
	}
	report := &Report{Hash: genesis}
	w, fault := newWitness("", checkpoints, keys)
	if fault != nil {
		report.Fault = fault
		return report, nil
	}
	lines := bufio.NewScanner(export)
	lines.Buffer(nil, maxLine)
	for first := true; lines.Scan(); first = false {
		if first && bytes.HasPrefix(lines.Bytes(), []byte(`{"cut":`)) {
			if report.Fault = report.begin(lines.Bytes(), w, keys); report.Fault != nil {
				return report, nil
			}
			continue
		}
		line, number := lines.Bytes(), report.Number+1
		var entry struct {
			ID     string `json:"id"`
			Number int64  `json:"number"`
			Time   int64  `json:"time"`
		}
		if err := json.Unmarshal(line, &entry); err != nil || bytes.ContainsRune(line, '\r') {
			report.Fault = &Fault{FaultAltered, number, "", "the line is not an entry"}
			return report, nil
		}
		if entry.Number != number {
			report.Fault = missing(number)
			return report, nil
		}
		if report.Fault = report.take(w, chain(report.Hash, line), entry.Time); report.Fault != nil {
			return report, nil
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("%w: a line of more than %d bytes", tenancy.ErrInvalid, maxLine)
		}
		return nil, wrap(op, err)
	}
	report.Fault = w.end(report.Number)
	return report, nil
}

// begin begins the verification of an export behind a cut, which the line is about.
func (r *Report) begin(line []byte, w *witness, keys []ed25519.PublicKey) *Fault {
	var c cutLine
	if err := json.Unmarshal(line, &c); err != nil || c.Cut == nil {
		return &Fault{FaultCut, 0, "", "the line about the cut cannot be read"}
	}
	if fault := c.Cut.fault(w.trail, keys); fault != nil {
		return fault
	}
	r.Number, r.Hash, r.Cut, r.Signed = c.Cut.Number, c.Cut.Hash, c.Cut.Number, c.Cut.Number
	return w.see(r.Number, r.Hash)
}

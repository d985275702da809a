package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// cutEvery is how often Run looks whether there are entries to remove.
	cutEvery = time.Hour
	// cutStep is how many entries are removed in one transaction. None are sealed meanwhile, and
	// it must end within ten seconds: with 10,000 it took four on a busy MariaDB.
	cutStep = 2000
	// actionCut is the action of the entry about a cut.
	actionCut = "audit.cut"
)

// Cut is a signed statement that the entries up to a number were removed because they were old. Verification
// begins behind it, with its hash.
type Cut struct {
	// Trail is the random ID of the audit.
	Trail string `json:"trail"`
	// Number is the number of the last removed entry, and Hash the hash of all entries up to it, as in the
	// checkpoint of that number.
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
	// Time is when it was made, in UTC, to the microsecond.
	Time time.Time `json:"time"`
	// Signature is the Ed25519 signature of [Cut.Message], in standard base64.
	Signature string `json:"signature"`
}

// Message returns the signed text: five lines, which docs/audit.md specifies.
func (c *Cut) Message() []byte {
	return fmt.Appendf(nil, "tenancy audit cut 1\n%s\n%d\n%s\n%d\n", c.Trail, c.Number, c.Hash, c.Time.UnixMicro())
}

// SignedBy reports whether one of the keys has signed the cut.
func (c *Cut) SignedBy(keys ...ed25519.PublicKey) bool {
	return signedBy(c.Message(), c.Signature, keys)
}

// fault returns the fault of a cut that nobody known signed, or that is another
// audit's. Without keys nothing can be said.
func (c *Cut) fault(trail string, keys []ed25519.PublicKey) *Fault {
	switch {
	case len(keys) > 0 && !c.SignedBy(keys...):
		return &Fault{FaultCut, c.Number, "", "the cut is not signed by a known key"}
	case trail != "" && c.Trail != trail:
		return &Fault{FaultCut, c.Number, "", "the cut is that of another audit"}
	}
	return nil
}

// LastCut returns the cut behind which the audit begins, or nil if it was never cut.
func (t *Trail) LastCut(ctx context.Context) (*Cut, error) {
	c, err := t.lastCut(ctx, t.db)
	return c, wrap("audit.Trail.LastCut", err)
}

func (t *Trail) lastCut(ctx context.Context, q sqlx.QueryerContext) (*Cut, error) {
	var row checkpointRow
	err := sqlx.GetContext(ctx, q, &row, `SELECT number, trail, hash, time, signature FROM tenancy_audit_cut WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Cut{row.Trail, row.Number, row.Hash, time.UnixMicro(row.Time).UTC(), row.Signature}, nil
}

// Cut removes the entries up to the last checkpoint before that time, and returns their number. In the
// transaction of the removal it keeps that checkpoint, signs that it has cut there, and writes an entry about
// it; it removes many entries in several such steps, some of which may end before a checkpoint. After each,
// [Trail.Verify] finds the rest whole, and detects further removals by somebody without the key.
//
// Cut removes nothing behind a checkpoint that [Options.Sink] does not have. Without [Options.Key] the error
// wraps [tenancy.ErrInvalid]. Cut verifies each entry that it removes: if the entries or the checkpoint are not
// what was signed, it removes none of them and the error wraps [tenancy.ErrForbidden]: call [Trail.Verify].
func (t *Trail) Cut(ctx context.Context, before time.Time) (int64, error) {
	n, err := t.cut(ctx, before)
	return n, wrap("audit.Trail.Cut", err)
}

func (t *Trail) cut(ctx context.Context, before time.Time) (removed int64, err error) {
	if t.opts.Key == nil {
		return 0, fmt.Errorf("%w: no key to sign with", tenancy.ErrInvalid)
	}
	for {
		_, from, err := t.ends(ctx, t.db)
		if err != nil {
			return removed, err
		}
		to, err := t.nextCut(ctx, from.Number, before)
		if err != nil || to == nil {
			return removed, err
		}
		steps, err := t.steps(ctx, from, to)
		if errors.Is(err, tenancy.ErrForbidden) {
			if _, now, e := t.ends(ctx, t.db); e == nil && now.Number > from.Number {
				continue // somebody else removed entries while they were read
			}
		}
		if err != nil {
			return removed, err
		}
		for i := range steps {
			var n int64
			err := sqlkit.Write(ctx, t.db, func(ctx context.Context, tx *sqlx.Tx) error {
				var err error
				n, err = t.cutOnce(ctx, tx, to, &steps[i])
				return err
			})
			if err != nil {
				return removed, err
			}
			removed += n
		}
	}
}

// ends returns the last entry, and the cut behind which the first is: one of number 0 if the
// audit was never cut.
func (t *Trail) ends(ctx context.Context, q sqlx.QueryerContext) (head, *Cut, error) {
	h, err := t.head(ctx, q)
	if err != nil {
		return h, nil, err
	}
	from, err := t.lastCut(ctx, q)
	if err != nil {
		return h, nil, err
	}
	if from == nil {
		return h, &Cut{Hash: genesis}, nil
	}
	if fault := from.fault(h.Trail, t.opts.publicKeys()); fault != nil {
		return h, nil, fmt.Errorf("%w: %w", tenancy.ErrForbidden, fault)
	}
	return h, from, nil
}

// steps returns where to cut until the checkpoint. If that is too far away for one step, it
// reads the entries up to it first: the checkpoint vouches for those in between.
func (t *Trail) steps(ctx context.Context, from *Cut, to *Checkpoint) (all []Cut, err error) {
	end := Cut{Trail: to.Trail, Number: to.Number, Hash: to.Hash}
	report := &Report{Number: from.Number, Hash: from.Hash}
	for to.Number-report.Number > t.cutStep {
		step := Cut{Trail: to.Trail, Number: report.Number + t.cutStep}
		if err := t.follow(ctx, t.db, report, &step, ""); err != nil {
			return nil, err
		}
		all = append(all, step)
	}
	if len(all) > 0 {
		err = t.follow(ctx, t.db, report, &end, "")
	}
	return append(all, end), err
}

// follow verifies the entries behind the report's last up to those of the cut, whose hash it
// compares or, if it is empty, sets.
func (t *Trail) follow(ctx context.Context, q sqlx.QueryerContext, report *Report, to *Cut, lock string) error {
	for report.Number < to.Number {
		fault, err := t.verifyPage(ctx, q, report, to.Number, &witness{}, lock)
		if err != nil {
			return err
		}
		if fault != nil {
			return fmt.Errorf("%w: %w", tenancy.ErrForbidden, fault)
		}
	}
	if to.Hash = cmp.Or(to.Hash, report.Hash); to.Hash != report.Hash {
		return fmt.Errorf("%w: entry %d is not what the checkpoint there says", tenancy.ErrForbidden, to.Number)
	}
	return nil
}

// cutOnce makes one step towards the checkpoint. The first statement locks the head until
// the transaction ends, so nobody seals or cuts meanwhile.
func (t *Trail) cutOnce(ctx context.Context, tx *sqlx.Tx, to *Checkpoint, step *Cut) (int64, error) {
	if _, err := tx.ExecContext(ctx, t.dialect.Rebind(`UPDATE tenancy_audit_head SET sealed_at = ? WHERE id = 1`), time.Now().UnixMicro()); err != nil {
		return 0, err
	}
	h, from, err := t.ends(ctx, tx)
	if err != nil {
		return 0, err
	}
	if to.Trail != h.Trail || to.Number > h.Number || !to.SignedBy(t.opts.publicKeys()...) {
		return 0, fmt.Errorf("%w: the checkpoint at entry %d is not one of this audit that a known key signed", tenancy.ErrForbidden, to.Number)
	}
	if from.Number >= step.Number {
		return 0, nil // somebody else was faster
	}
	lock := " FOR UPDATE" // what is removed is what was read
	if t.dialect == sqlkit.SQLite {
		lock = "" // its transactions that write come one after another
	}
	if err := t.follow(ctx, tx, &Report{Number: from.Number, Hash: from.Hash}, step, lock); err != nil {
		return 0, err
	}
	return t.remove(ctx, tx, from, step)
}

// nextCut returns the checkpoint to cut up to next, or nil if there is none.
func (t *Trail) nextCut(ctx context.Context, from int64, before time.Time) (*Checkpoint, error) {
	where, args := `number > ? AND time < ?`, []any{from, ceilMicro(before)}
	if t.opts.Sink != nil {
		where += ` AND sent = 1`
	}
	var rows []checkpointRow
	err := t.db.SelectContext(ctx, &rows, t.dialect.Rebind(selectCheckpoints+where+` AND number <= ? ORDER BY number DESC LIMIT 1`), append(slices.Clone(args), from+t.cutStep)...)
	if err == nil && len(rows) == 0 {
		err = t.db.SelectContext(ctx, &rows, t.dialect.Rebind(selectCheckpoints+where+` ORDER BY number LIMIT 1`), args...)
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	c := rows[0].checkpoint()
	return &c, nil
}

// remove signs the cut and removes the entries up to it.
func (t *Trail) remove(ctx context.Context, tx *sqlx.Tx, from, c *Cut) (int64, error) {
	c.Time = time.Now().UTC().Truncate(time.Microsecond)
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(t.opts.Key, c.Message()))
	for _, do := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM tenancy_audit_cut WHERE id = 1`, nil},
		{`INSERT INTO tenancy_audit_cut (id, number, trail, hash, time, signature) VALUES (1, ?, ?, ?, ?, ?)`, []any{c.Number, c.Trail, c.Hash, c.Time.UnixMicro(), c.Signature}},
		{`DELETE FROM tenancy_audit_checkpoints WHERE number < ?`, []any{c.Number}},
	} {
		if _, err := tx.ExecContext(ctx, t.dialect.Rebind(do.query), do.args...); err != nil {
			return 0, err
		}
	}
	res, err := tx.ExecContext(ctx, t.dialect.Rebind(`DELETE FROM tenancy_audit WHERE number <= ?`), c.Number)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	if want := c.Number - from.Number; n != want {
		return 0, fmt.Errorf("%w: there are %d entries up to %d, want %d", tenancy.ErrForbidden, n, c.Number, want)
	}
	e := tenancy.NewEntry(ctx, actionCut, "")
	e.Changes = []tenancy.FieldChange{{
		Field: "number", Before: json.RawMessage(strconv.FormatInt(from.Number, 10)), After: json.RawMessage(strconv.FormatInt(c.Number, 10)),
	}}
	return n, t.write(ctx, tx, e)
}

// keep cuts what is older than [Options.Keep], as the service itself.
func (t *Trail) keep(ctx context.Context, now time.Time) error {
	actor := tenancy.ActorFrom(ctx)
	if actor.Kind == tenancy.ActorUnknown {
		actor = tenancy.Actor{Kind: tenancy.ActorSystem, ID: "audit", Reason: cmp.Or(actor.Reason, "older than "+t.opts.Keep.String())}
	}
	_, err := t.cut(tenancy.WithActor(ctx, actor), now.Add(-t.opts.Keep))
	return err
}

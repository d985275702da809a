package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// sealBatch is how many entries are sealed in one transaction.
	sealBatch = 500
	// sealerLease is how long a sealer that died keeps the others from sealing.
	sealerLease = 10 * time.Second
	// standby is how often the other instances look whether the lease is free.
	standby = 2 * time.Second
)

// Run seals what was committed, every [Options.SealEvery], until ctx ends; then it returns nil. Call it in
// every process: one of them seals, and another goes on when that one ends; each process writes the entries
// that it has folded. Failures are logged and tried again.
func (t *Trail) Run(ctx context.Context) error {
	var counting sync.WaitGroup
	counting.Go(func() { t.foldEach(ctx) })
	defer counting.Wait()
	for ctx.Err() == nil {
		err := t.leases.Do(ctx, "sealer", sealerLease, func(ctx context.Context, _ *sqlkit.Lease) error { return t.sealEach(ctx) })
		if err != nil && !sqlkit.Held(err) && ctx.Err() == nil {
			t.opts.Logger.WarnContext(ctx, "audit: the sealer stopped; trying again", slog.Duration("in", standby), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(standby):
		}
	}
	return nil
}

// foldEach writes the entries that were counted together until ctx ends, and then
// the last.
func (t *Trail) foldEach(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			t.writeFolded(ctx, true)
			return
		case <-tick.C:
			t.writeFolded(ctx, false)
		}
	}
}

// writeFolded writes what was counted together, if it is time or the end.
func (t *Trail) writeFolded(ctx context.Context, end bool) {
	all := t.folder.take(time.Now(), end)
	for i := range all {
		err := t.write(ctx, t.db, all[i])
		if err == nil || errors.Is(err, tenancy.ErrExists) {
			continue
		}
		t.opts.Logger.WarnContext(ctx, "audit: entries of what was refused could not be written", slog.Any("error", err))
		if end {
			for _, e := range all[i:] {
				t.lost.Add(e.Count)
			}
		} else {
			t.lost.Add(t.folder.back(all[i:], time.Now()))
		}
		return
	}
}

// sealEach seals until ctx ends. What the sink and the removal of old entries take keeps no entry from being sealed.
func (t *Trail) sealEach(ctx context.Context) error {
	var signing sync.WaitGroup
	defer signing.Wait()
	if t.opts.Key != nil {
		signing.Go(func() { t.signEach(ctx) })
	}
	tick := time.NewTicker(t.opts.SealEvery)
	defer tick.Stop()
	for {
		if err := t.runOnce(ctx); err != nil && ctx.Err() == nil {
			t.opts.Logger.WarnContext(ctx, "audit: entries could not be sealed; trying again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// signEach makes checkpoints and removes old entries until ctx ends.
func (t *Trail) signEach(ctx context.Context) {
	tick := time.NewTicker(min(t.opts.SealEvery, t.opts.CheckpointEvery))
	defer tick.Stop()
	var signed, cut time.Time
	for {
		if time.Since(signed) >= t.opts.CheckpointEvery {
			signed = time.Now()
			if err := t.checkpoint(ctx); err != nil && ctx.Err() == nil {
				t.opts.Logger.WarnContext(ctx, "audit: no checkpoint was made or sent; trying again", slog.Any("error", err))
			}
		}
		if t.opts.Keep > 0 && time.Since(cut) >= cutEvery {
			cut = time.Now()
			if err := t.keep(ctx, cut); err != nil && ctx.Err() == nil {
				t.opts.Logger.WarnContext(ctx, "audit: old entries were not removed; trying again", slog.Duration("in", cutEvery), slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// runOnce seals all that was committed. Of two at once, one waits for the other:
// the row of the head is locked.
func (t *Trail) runOnce(ctx context.Context) error {
	for {
		var one int
		err := t.db.GetContext(ctx, &one, `SELECT 1 FROM tenancy_audit WHERE number IS NULL LIMIT 1`)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		err = sqlkit.Tx(ctx, t.db, nil, func(tx *sqlx.Tx) error { return t.seal(ctx, tx) })
		if err != nil && !sqlkit.IsDeadlock(err) {
			return err
		}
	}
}

// seal numbers and chains the oldest entries that are not sealed. The first
// statement locks the head until the transaction ends.
func (t *Trail) seal(ctx context.Context, tx *sqlx.Tx) error {
	if _, err := tx.ExecContext(ctx, t.dialect.Rebind(`UPDATE tenancy_audit_head SET sealed_at = ? WHERE id = 1`), time.Now().UnixMicro()); err != nil {
		return err
	}
	h, err := t.head(ctx, tx)
	if err != nil {
		return err
	}
	batch, err := t.read(ctx, tx, `number IS NULL ORDER BY time, id LIMIT ?`, sealBatch)
	if err != nil || len(batch) == 0 {
		return err
	}
	var line []byte
	args := make([]any, 0, 3*len(batch))
	for i := range batch {
		h.Number++
		line = batch[i].appendLine(line[:0], h.Number)
		h.Hash = chain(h.Hash, line)
		args = append(args, batch[i].id, h.Number, h.Hash)
	}
	res, err := tx.ExecContext(ctx, t.dialect.Rebind(sealStatement(t.dialect, len(batch))), args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(batch)) {
		return errors.Join(err, fmt.Errorf("%w: %d of %d entries were there to be sealed", tenancy.ErrConflict, n, len(batch)))
	}
	_, err = tx.ExecContext(ctx, t.dialect.Rebind(`UPDATE tenancy_audit_head SET number = ?, hash = ? WHERE id = 1`), h.Number, h.Hash)
	return err
}

// sealStatement returns the statement that gives n entries their numbers and
// hashes. Its arguments are ID, number and hash of each.
func sealStatement(d sqlkit.Dialect, n int) string {
	rows := func(first, rest, separator string) string {
		return first + strings.Repeat(separator+rest, n-1)
	}
	switch d {
	case sqlkit.Postgres:
		return `UPDATE tenancy_audit AS e SET number = v.number, hash = v.hash FROM (VALUES ` +
			rows(`(CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT))`, `(?, ?, ?)`, `, `) +
			`) AS v (id, number, hash) WHERE e.id = v.id COLLATE "C"`
	case sqlkit.MySQL:
		return `UPDATE tenancy_audit e JOIN (` + rows(`SELECT ? AS id, ? AS number, ? AS hash`, `SELECT ?, ?, ?`, ` UNION ALL `) +
			`) v ON e.id = CONVERT(v.id USING ascii) COLLATE ascii_bin SET e.number = v.number, e.hash = v.hash`
	default:
		return `UPDATE tenancy_audit SET number = v.column2, hash = v.column3 FROM (VALUES ` +
			rows(`(?, ?, ?)`, `(?, ?, ?)`, `, `) + `) AS v WHERE tenancy_audit.id = v.column1`
	}
}

// head is the last entry that was sealed.
type head struct {
	Trail  string
	Number int64
	Hash   string
}

// head reads the head. Without one, which somebody must have removed, the error
// wraps tenancy.ErrNotFound.
func (t *Trail) head(ctx context.Context, q sqlx.QueryerContext) (head, error) {
	var h head
	err := sqlx.GetContext(ctx, q, &h, `SELECT trail, number, hash FROM tenancy_audit_head WHERE id = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return head{}, fmt.Errorf("%w: the head of the audit", tenancy.ErrNotFound)
	}
	return h, err
}

// read returns the rows that the condition selects. A row that cannot be read is
// an error that wraps errUnreadable, beside the rows before it.
func (t *Trail) read(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (all []record, err error) {
	rows, err := q.QueryxContext(ctx, t.dialect.Rebind(`SELECT `+columns+`, number, hash FROM tenancy_audit WHERE `+where), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r record
		if err := rows.Scan(r.fields()...); err != nil {
			return all, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// errUnreadable says that a column holds what the audit never writes.
var errUnreadable = errors.New("an entry of the audit cannot be read")

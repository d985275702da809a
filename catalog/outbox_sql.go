package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// outboxRow is an event with its place.
type outboxRow struct {
	seq   int64
	event Event
}

// read returns the events that the condition selects.
func (o *Outbox) read(ctx context.Context, where string, args ...any) (all []outboxRow, err error) {
	rows, err := o.db.QueryContext(ctx, o.dialect.Rebind(
		`SELECT seq, id, tenant_id, version, kind, time, actor, changes FROM tenancy_outbox WHERE `+where), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			r              outboxRow
			at             int64
			actor, changes []byte
		)
		e := &r.event
		if err := rows.Scan(&r.seq, &e.ID, &e.Tenant, &e.Version, &e.Kind, &at, &actor, &changes); err != nil {
			return nil, err
		}
		e.Time = time.UnixMicro(at).UTC()
		if err := errors.Join(json.Unmarshal(actor, &e.Actor), json.Unmarshal(changes, &e.Changes)); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// write runs fn in a transaction of the lease's holder. The error wraps
// [tenancy.ErrConflict] when the lease is lost, and for no other reason.
func (o *Outbox) write(ctx context.Context, lease *sqlkit.Lease, fn func(context.Context, *sqlx.Tx) error) error {
	return sqlkit.Write(ctx, o.db, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := lease.Lock(ctx, tx); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

// mark sets a column of the events to a value.
func (o *Outbox) mark(ctx context.Context, tx *sqlx.Tx, column string, value int64, seqs []int64) error {
	return o.markWhere(ctx, tx, column, value, seqs, ``)
}

// park marks that the events wait, except those that somebody skipped meanwhile.
func (o *Outbox) park(ctx context.Context, tx *sqlx.Tx, seqs []int64) error {
	return o.markWhere(ctx, tx, "delivered_at", -1, seqs, ` AND delivered_at <= 0`)
}

func (o *Outbox) markWhere(ctx context.Context, tx *sqlx.Tx, column string, value int64, seqs []int64, and string) error {
	table := `tenancy_outbox`
	if o.dialect == sqlkit.MySQL {
		// By any other way than the key it would lock the gaps that new events want.
		table += ` FORCE INDEX (PRIMARY)`
	}
	for some := range slices.Chunk(seqs, outboxPage) {
		query, args, err := sqlx.In(`UPDATE `+table+` SET `+column+` = ? WHERE seq IN (?)`+and, value, some)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, o.dialect.Rebind(query), args...); err != nil {
			return err
		}
	}
	return nil
}

// heldRow is a tenant whose events wait.
type heldRow struct {
	Tenant   tenancy.ID `db:"tenant_id"`
	Attempts int
	Due      int64 `db:"due_at"`
	Problem  string
}

func (o *Outbox) readHeld(ctx context.Context) (all []heldRow, err error) {
	err = o.db.SelectContext(ctx, &all, `SELECT tenant_id, attempts, due_at, problem FROM tenancy_outbox_held`)
	return all, err
}

// putHeld writes that the tenant's events wait, in place of what was written before. The failure of an event that
// somebody has skipped meanwhile is not written: readSkipped is to find the mark of the skip.
func (o *Outbox) putHeld(ctx context.Context, tx *sqlx.Tx, h heldRow) error {
	if h.Attempts > 0 {
		_, err := tx.ExecContext(ctx, o.dialect.Rebind(`DELETE FROM tenancy_outbox_held WHERE tenant_id = ? AND due_at <> ?`), h.Tenant, skipped)
		if err != nil {
			return err
		}
		var left int
		if err := tx.GetContext(ctx, &left, o.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_outbox_held WHERE tenant_id = ?`), h.Tenant); err != nil || left > 0 {
			return err
		}
	} else if err := o.removeHeld(ctx, tx, h.Tenant); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, o.dialect.Rebind(`INSERT INTO tenancy_outbox_held (tenant_id, attempts, due_at, problem) VALUES (?, ?, ?, ?)`),
		h.Tenant, h.Attempts, h.Due, h.Problem)
	return err
}

func (o *Outbox) removeHeld(ctx context.Context, tx *sqlx.Tx, id tenancy.ID) error {
	_, err := tx.ExecContext(ctx, o.dialect.Rebind(`DELETE FROM tenancy_outbox_held WHERE tenant_id = ?`), id)
	return err
}

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// maxStuck is how many events [Outbox.Stuck] returns.
const maxStuck = 100

// StuckEvent is an event that [OutboxOptions.Deliver] failed to take.
type StuckEvent struct {
	Event Event `json:"event"`
	// Attempts is how often it was tried, and Next when that is done again.
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next"`
	// Problem is why it failed the last time, in words that are not a client's.
	Problem string `json:"problem"`
	// Waiting is how many later events of the tenant wait behind it.
	Waiting int64 `json:"waiting"`
}

// Stuck returns the events that failed and are to be tried again, those that were tried most
// often first, at most 100.
func (o *Outbox) Stuck(ctx context.Context) ([]StuckEvent, error) {
	all, err := o.stuck(ctx)
	return all, wrap("catalog.Outbox.Stuck", "", err)
}

func (o *Outbox) stuck(ctx context.Context) (all []StuckEvent, err error) {
	var held []heldRow
	if err := o.db.SelectContext(ctx, &held, o.dialect.Rebind(`SELECT tenant_id, attempts, due_at, problem FROM tenancy_outbox_held
		WHERE attempts > 0 ORDER BY attempts DESC, tenant_id LIMIT ?`), maxStuck); err != nil {
		return nil, err
	}
	for _, h := range held {
		const waits = `tenant_id = ? AND delivered_at <= 0`
		first, err := o.read(ctx, waits+` ORDER BY seq LIMIT 1`, h.Tenant)
		if err != nil {
			return nil, err
		}
		if len(first) == 0 { // delivered meanwhile
			continue
		}
		s := StuckEvent{Event: first[0].event, Attempts: h.Attempts, Next: time.UnixMicro(h.Due).UTC(), Problem: h.Problem}
		if err := o.db.GetContext(ctx, &s.Waiting, o.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_outbox WHERE `+waits+` AND seq > ?`), h.Tenant, first[0].seq); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Skip gives up an event of [Outbox.Stuck] for [OutboxOptions.Deliver], so that the later events of
// its tenant are delivered, in all processes within about a second. The entry "event.skip" of
// [OutboxOptions.Audit] is written in the same transaction. An event that is under way just then
// may be delivered all the same; the stream gets it in any case. Another event than
// the one that is stuck is an error that wraps [tenancy.ErrConflict], and a tenant without a
// stuck event one that wraps [tenancy.ErrNotFound].
func (o *Outbox) Skip(ctx context.Context, id tenancy.ID, event string) error {
	return wrap("catalog.Outbox.Skip", id, sqlkit.Write(ctx, o.db, func(ctx context.Context, tx *sqlx.Tx) error {
		return o.skip(ctx, tx, id, event)
	}))
}

func (o *Outbox) skip(ctx context.Context, tx *sqlx.Tx, id tenancy.ID, event string) error {
	// The update comes first. It locks the row, so that a delivery cannot change it before the commit.
	res, err := tx.ExecContext(ctx, o.dialect.Rebind(`UPDATE tenancy_outbox_held SET attempts = 0, due_at = ?, problem = '' WHERE tenant_id = ? AND attempts > 0`), skipped, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: no event of the tenant is stuck", tenancy.ErrNotFound)
	}
	var first struct {
		Seq     int64
		ID      string
		Version int64
	}
	err = tx.GetContext(ctx, &first, o.dialect.Rebind(
		`SELECT seq, id, version FROM tenancy_outbox WHERE tenant_id = ? AND delivered_at <= 0 ORDER BY seq LIMIT 1`), id)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: no event of the tenant waits", tenancy.ErrNotFound)
	}
	if err != nil {
		return err
	}
	if first.ID != event {
		return fmt.Errorf("%w: the event that is stuck is %s", tenancy.ErrConflict, first.ID)
	}
	if err := o.mark(ctx, tx, "delivered_at", time.Now().UnixMicro(), []int64{first.Seq}); err != nil {
		return err
	}
	if o.opts.Audit == nil {
		return nil
	}
	entry := tenancy.NewEntry(ctx, "event.skip", id)
	entry.Object = event
	if err := o.opts.Audit.Audit(ctx, tx.Tx, entry); err != nil {
		return unnamed("audit", err)
	}
	return nil
}

// skipped is when the events of a tenant are due of which one was skipped: before all times.
const skipped = -1

// readSkipped lets the lines go on of whose events somebody skipped one.
func (c *courier) readSkipped(ctx context.Context) error {
	var ids []tenancy.ID
	if err := c.box.db.SelectContext(ctx, &ids, c.box.dialect.Rebind(`SELECT tenant_id FROM tenancy_outbox_held WHERE due_at = ?`), skipped); err != nil {
		return err
	}
	for _, id := range ids {
		if l := c.lines[id]; l != nil && l.held && !l.calling {
			l.attempts, l.problem, l.due = 0, "", time.Now()
			c.changed[l] = true
		}
	}
	return nil
}

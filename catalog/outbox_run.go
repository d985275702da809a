package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// outboxLease is how long an instance that died keeps the others from delivering.
	outboxLease = 10 * time.Second
	// outboxStandby is how often the other instances look whether the lease is free.
	outboxStandby = 2 * time.Second
	// outboxTidy is how often delivered events are removed.
	outboxTidy = time.Minute
	// outboxPage is how many events are read at a time.
	outboxPage = 500
)

// Run delivers events until ctx ends; then it waits up to five seconds for calls of [OutboxOptions.Deliver],
// and returns nil. Call it in every process: one of them delivers, and another goes on when that one ends.
// Failures are logged and tried again. An outbox without a function and a stream is an error that wraps
// [tenancy.ErrInvalid].
func (o *Outbox) Run(ctx context.Context) error {
	if o.opts.Deliver == nil && o.opts.Stream == nil {
		return tenancy.Wrap("catalog.Outbox.Run", "", fmt.Errorf("%w: the options have neither Deliver nor Stream", tenancy.ErrInvalid))
	}
	for ctx.Err() == nil {
		err := o.leases.Do(ctx, "outbox", outboxLease, o.deliverAll)
		if err != nil && !sqlkit.Held(err) && ctx.Err() == nil {
			o.opts.Logger.WarnContext(ctx, "catalog: the outbox stopped; trying again", slog.Duration("in", outboxStandby), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(outboxStandby):
		}
	}
	return nil
}

// deliverAll works as the holder of the lease, until ctx ends or the lease is lost.
func (o *Outbox) deliverAll(ctx context.Context, lease *sqlkit.Lease) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	start := func(work func(context.Context, *sqlkit.Lease) error) {
		all.Go(func() {
			if err := work(ctx, lease); err != nil {
				cancel(err)
			}
		})
	}
	if o.opts.Deliver != nil {
		start(func(ctx context.Context, lease *sqlkit.Lease) error { return newCourier(o, lease).run(ctx) })
	}
	if o.opts.Stream != nil {
		start(o.streamAll)
	}
	start(o.tidyEach)
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// streamAll appends events to the stream until ctx ends or the lease is lost.
func (o *Outbox) streamAll(ctx context.Context, lease *sqlkit.Lease) error {
	const what = "the stream"
	failures := 0
	for {
		n, err := o.streamOnce(ctx, lease)
		pause := o.opts.Poll
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, tenancy.ErrConflict):
			return err
		case err != nil:
			failures++
			pause = o.backoff(failures)
			o.unstreamable.Add(1)
			o.problems.set(what, err)
			o.opts.Logger.WarnContext(ctx, "catalog: events could not be added to the stream; trying again", slog.Duration("in", pause), slog.Any("error", err))
		default:
			failures = 0
		}
		if n == streamPage {
			continue
		}
		wake := o.toStream
		if err != nil {
			wake = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(pause):
		}
	}
}

// streamPage is how many events are appended to a stream at a time.
const streamPage = 200

// streamOnce appends the oldest events and returns how many those were. The error
// wraps [tenancy.ErrConflict] when the lease is lost.
func (o *Outbox) streamOnce(ctx context.Context, lease *sqlkit.Lease) (int, error) {
	rows, err := o.read(ctx, `streamed_at = 0 ORDER BY seq LIMIT ?`, streamPage)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	events := make([]Event, len(rows))
	seqs := make([]int64, len(rows))
	for i := range rows {
		events[i], seqs[i] = rows[i].event, rows[i].seq
	}
	appending, cancel := context.WithTimeout(ctx, o.opts.Timeout)
	defer cancel()
	if err := o.append(appending, events); err != nil {
		return 0, fmt.Errorf("%w: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // whatever it wraps says nothing of the lease
	}
	err = o.write(ctx, lease, func(ctx context.Context, tx *sqlx.Tx) error {
		return o.mark(ctx, tx, "streamed_at", time.Now().UnixMicro(), seqs)
	})
	if err != nil {
		return 0, err
	}
	o.streamed.Add(int64(len(rows)))
	return len(rows), nil
}

func (o *Outbox) append(ctx context.Context, events []Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return o.opts.Stream.Append(ctx, events)
}

// backoff returns how long to wait after so many failures: about as long again as
// before each time.
func (o *Outbox) backoff(failures int) time.Duration {
	d := o.opts.RetryFrom
	for range failures - 1 {
		if d >= o.opts.RetryMost/2 {
			return o.opts.RetryMost
		}
		d *= 2
	}
	return min(d, o.opts.RetryMost)
}

// tidyEach removes delivered events until ctx ends or the lease is lost.
func (o *Outbox) tidyEach(ctx context.Context, lease *sqlkit.Lease) error {
	every := outboxTidy
	if o.opts.Keep < 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := o.tidy(ctx, lease, time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, tenancy.ErrConflict) {
			return err
		}
		if err != nil {
			o.opts.Logger.WarnContext(ctx, "catalog: old events could not be removed; trying again", slog.Duration("in", every), slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tidy removes the events that were delivered to all, of changes before the time to
// keep.
func (o *Outbox) tidy(ctx context.Context, lease *sqlkit.Lease, now time.Time) error {
	where := `time <= ?`
	if o.opts.Deliver != nil {
		where += ` AND delivered_at > 0`
	}
	if o.opts.Stream != nil {
		where += ` AND streamed_at > 0`
	}
	before := now.Add(-max(o.opts.Keep, 0)).UnixMicro()
	for {
		var seqs []int64
		err := o.db.SelectContext(ctx, &seqs, o.dialect.Rebind(`SELECT seq FROM tenancy_outbox WHERE `+where+` ORDER BY time LIMIT ?`), before, outboxPage)
		if err != nil || len(seqs) == 0 {
			return err
		}
		err = o.write(ctx, lease, func(ctx context.Context, tx *sqlx.Tx) error {
			query, args, err := sqlx.In(`DELETE FROM tenancy_outbox WHERE seq IN (?)`, seqs)
			if err == nil {
				_, err = tx.ExecContext(ctx, o.dialect.Rebind(query), args...)
			}
			return err
		})
		if err != nil || len(seqs) < outboxPage {
			return err
		}
	}
}

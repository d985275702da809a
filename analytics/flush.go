package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Run writes what was counted, every [Options.Flush] and once more when ctx ends; then it
// returns nil. A write that fails is logged and made up for by the next. When ctx ends, Run returns within
// [Options.WriteTimeout], and [SQLOptions.Timeout] more if the store has begun a write by then.
func (rec *Recorder) Run(ctx context.Context) error {
	if rec.opts.Feed != nil {
		var pulsing sync.WaitGroup
		defer pulsing.Wait()
		pulsing.Go(func() { rec.pulses(ctx) })
	}
	tick := time.NewTicker(rec.opts.Flush)
	defer tick.Stop()
	noteTick := time.NewTicker(noteTime)
	defer noteTick.Stop()
	for {
		select {
		case <-tick.C:
			_ = rec.Flush(ctx) // it was logged
		case <-noteTick.C:
			_ = rec.second(ctx) // it was logged
		case <-ctx.Done():
			rec.end()
			return nil
		}
	}
}

// end writes for the last time, again within [Options.WriteTimeout] when that fails.
func (rec *Recorder) end() {
	ctx, cancel := context.WithTimeout(context.Background(), rec.opts.WriteTimeout)
	defer cancel()
	if rec.flushing.take(ctx) != nil {
		return // somebody writes, and does not get on
	}
	rec.instance.Ended = true
	rec.flushing.give()
	for rec.Flush(ctx) != nil && ctx.Err() == nil {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Flush writes what was counted since the last flush. After an error nothing is
// lost: the next flush writes it.
func (rec *Recorder) Flush(ctx context.Context) error {
	if err := rec.flushing.take(ctx); err != nil {
		return err
	}
	defer rec.flushing.give()
	err := errors.Join(rec.writeNotes(ctx, rec.instance.Ended), rec.flush(ctx))
	return tenancy.Wrap("analytics.Recorder.Flush", "", rec.report(ctx, err))
}

// Forgetter is the optional ability of a [Sink] to remove what it keeps of a tenant. The stores of
// this package have it.
type Forgetter interface {
	// Forget removes all that is kept of the tenant. It may be called again.
	Forget(ctx context.Context, id tenancy.ID) error
}

// Forget removes all that is kept of a tenant: what this recorder holds in memory, and what is in
// its store. It is for lifecycle.Options.Forget and may be called again, such as when the event
// of the tenant's deletion comes, which is behind all that other instances wrote of it before.
// It writes what waits first; if that fails, nothing is removed and the error is that of
// [Recorder.Flush]. A sink that is no [Forgetter] is an error that wraps [tenancy.ErrInvalid].
// What somebody counts for the tenant afterwards is kept again.
func (rec *Recorder) Forget(ctx context.Context, id tenancy.ID) error {
	const op = "analytics.Recorder.Forget"
	if rec.forgetter == nil {
		return tenancy.Wrap(op, id, fmt.Errorf("%w: the sink cannot forget", tenancy.ErrInvalid))
	}
	if err := rec.flushing.take(ctx); err != nil {
		return err
	}
	defer rec.flushing.give()
	rec.notes.forget(id)
	err := rec.report(ctx, errors.Join(rec.writeNotes(ctx, rec.instance.Ended), rec.flush(ctx)))
	if err == nil {
		err = rec.forgetter.Forget(ctx, id)
	}
	return tenancy.Wrap(op, id, err)
}

// second does what is done each second: it divides the process's time, and writes the
// activities that wait.
func (rec *Recorder) second(ctx context.Context) error {
	if err := rec.flushing.take(ctx); err != nil {
		return err
	}
	defer rec.flushing.give()
	rec.tick(processorTime(), time.Now())
	return rec.report(ctx, rec.writeNotes(ctx, false))
}

// report logs when writing begins to fail and when it works again. It returns err.
func (rec *Recorder) report(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return err // the caller that ends Run writes once more
	case err != nil && !rec.failing:
		rec.opts.Logger.LogAttrs(ctx, slog.LevelError, "analytics: usage was not written; it is kept and written later", slog.Any("error", err))
	case err == nil && rec.failing:
		rec.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "analytics: usage is written again")
	}
	rec.failing = err != nil
	return err
}

func (rec *Recorder) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, rec.opts.WriteTimeout)
	defer cancel()
	rec.revision++
	rec.instance.Offset = -time.Duration(rec.clock.Load().offset) * time.Microsecond
	rec.memory()
	if rec.observes.Load() {
		rec.records(poolColumns()...)
	}
	rec.instance.Dropped = rec.notes.droppedSoFar()
	own := ownProcess()
	rec.tick(own.cpu, time.Now())
	rec.instance.CPU, rec.instance.RSS, rec.instance.Heap = own.cpu, own.rss, own.heap
	b := &Batch{Instance: rec.instance}
	b.Tenants = rec.unwritten()
	present := rec.moment(time.Now()).minute
	rec.cells.Range(func(key, value any) bool {
		id, c := key.(tenancy.ID), value.(*cell)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.compact(present) // nothing has failed yet if the process was halted for hours
		b.Parts = append(b.Parts, c.parts(id, rec.revision, rec.opts.Counts)...)
		b.Patterns = append(b.Patterns, c.patternParts(id, rec.revision)...)
		b.Statements = append(b.Statements, c.statementParts(id, present, rec.revision, rec.instance.Ended)...)
		return true
	})
	asked := time.Now()
	now, err := rec.sink.Write(ctx, b)
	if err != nil {
		rec.takeBackStatements(b.Statements)
		rec.takeBack(errors.Is(err, ErrInDoubt))
		return err
	}
	rec.wrote(b.Tenants)
	rec.settle(now, asked)
	return nil
}

// unwritten returns the records that are newer than those that were written.
func (rec *Recorder) unwritten() (all []*tenancy.Tenant) {
	rec.cells.Range(func(_, value any) bool {
		c := value.(*cell)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.unwritten() {
			all = append(all, c.tenant)
		}
		return true
	})
	return all
}

// wrote notes that the records were written.
func (rec *Recorder) wrote(all []*tenancy.Tenant) {
	for _, t := range all {
		if found, ok := rec.cells.Load(t.ID); ok {
			c := found.(*cell)
			c.mu.Lock()
			if c.written == nil || t.Newer(c.written) {
				c.written = t
			}
			c.mu.Unlock()
		}
	}
}

// takeBack marks what was not written to be put into the next batch, and makes hours of
// minutes that have waited for long.
func (rec *Recorder) takeBack(inDoubt bool) {
	present := rec.moment(time.Now()).minute
	rec.cells.Range(func(_, value any) bool {
		c := value.(*cell)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.takeBack(inDoubt)
		c.compact(present)
		return true
	})
}

// takeBackStatements marks what was not written to be put into the next batch.
func (rec *Recorder) takeBackStatements(parts []StatementPart) {
	for i := range parts {
		if found, ok := rec.cells.Load(parts[i].Tenant); ok {
			c := found.(*cell)
			c.mu.Lock()
			c.statementsAgain(&parts[i])
			c.mu.Unlock()
		}
	}
}

// settle forgets what was written, and sets the clock.
func (rec *Recorder) settle(now, asked time.Time) {
	rec.setClock(now, asked)
	present := rec.moment(time.Now()).minute
	rec.cells.Range(func(key, value any) bool {
		c := value.(*cell)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.settle(present) {
			c.gone = true
			rec.cells.CompareAndDelete(key, value)
		}
		return true
	})
}

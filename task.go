package tenancy

import (
	"context"
	"fmt"
)

// Task is work that is done for many tenants, for each apart. Packages offer their
// work as tasks, and the package maintenance/runs does them: in plans and waves, by
// many instances, again after a crash.
//
// All functions are called by many goroutines at once.
type Task struct {
	// Do does the work for one tenant, which its context carries. It is called
	// at least once, and by one instance at a time while that instance keeps
	// its lease: work that was done already must do no harm when it is done
	// again. An error is that tenant's failure; [Skip] says that there was
	// nothing to do for this tenant. When ctx ends, Do returns soon.
	Do func(ctx context.Context, t *Tenant, a Attempt) error
	// Eligible returns an error that says why a tenant cannot take part. It is
	// asked when a run is planned and again when the tenant's turn has come, does
	// no I/O, and does not depend on the parameters' values. Nil: all can.
	Eligible func(t *Tenant) error
	// Validate returns an error that wraps [ErrInvalid] for parameters that the
	// task cannot work with. Nil: it takes none, and refuses any.
	Validate func(params Params) error
	// Complete returns the parameters with those that were left out and whose default
	// depends on the program, such as the version to migrate to. A run keeps what it
	// returns when the run is planned, and each instance asks it again, with these,
	// before it works on the run. An error, which wraps [ErrInvalid], says that this
	// program cannot do the task with these parameters: then nothing is planned, and the
	// instance leaves the run to others. Nil: any program can, and the parameters stay.
	Complete func(params Params) (Params, error)
}

// Params are the parameters of a [Task], by name. They are kept in clear text, and
// everybody who may see a run sees them: no secrets.
type Params map[string]string

// Attempt is one attempt to do a [Task] for one tenant. The zero value is an attempt
// outside of a run.
type Attempt struct {
	// Run is the ID of the run.
	Run string
	// Number counts the attempts for this tenant in the run, from 1.
	Number int
	// Fence is larger in each attempt than in all before. A task that writes to
	// something that lives on after a lost lease keeps the number beside what it
	// writes, and refuses a smaller one.
	Fence  int64
	Params Params
	// Checkpoint is what the attempts before saved last.
	Checkpoint string
	// Save keeps a checkpoint for the next attempt. Use [Attempt.SaveCheckpoint],
	// which also works without it.
	Save func(ctx context.Context, checkpoint string) error
}

// SaveCheckpoint keeps a text, of at most 4,096 bytes, that the next attempt finds
// in [Attempt.Checkpoint]. Outside of a run it does nothing. If the tenant is another
// instance's by now, the error wraps [ErrConflict], and the task must stop.
func (a Attempt) SaveCheckpoint(ctx context.Context, checkpoint string) error {
	if len(checkpoint) > maxSetting {
		return fmt.Errorf("%w: checkpoint of %d bytes, want at most %d", ErrInvalid, len(checkpoint), maxSetting)
	}
	if a.Save == nil {
		return nil
	}
	return a.Save(ctx, checkpoint)
}

// SkipError says that a [Task] had nothing to do for a tenant, or could not take it,
// and that this is no failure.
type SkipError struct{ Reason string }

// Error returns the reason.
func (e *SkipError) Error() string { return e.Reason }

// Skip returns a [*SkipError] with that reason, which people read.
func Skip(reason string) error { return &SkipError{reason} }

package runs

import (
	"fmt"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// State says where a run stands.
type State string

// The states of runs. The package comment has the transitions.
const (
	// StatePlanned is a plan that nobody has started.
	StatePlanned State = "planned"
	// StateRunning is a run that workers work on.
	StateRunning State = "running"
	// StatePaused is a run that waits: for an operator, for approval of its
	// next wave, or for the time between two waves.
	StatePaused State = "paused"
	// StateStopped is a run whose failure budget is used up.
	StateStopped State = "stopped"
	// StateCancelled is a run that was given up.
	StateCancelled State = "cancelled"
	// StateDone is a run in which no tenant failed.
	StateDone State = "done"
	// StateFailed is a run that is done with failures.
	StateFailed State = "done_with_failures"
)

// States returns all states in the order of a run's life.
func States() []State {
	return []State{StatePlanned, StateRunning, StatePaused, StateStopped, StateCancelled, StateDone, StateFailed}
}

// transitions are the legal changes of state. Nothing else changes a state.
var transitions = map[State][]State{
	StatePlanned: {StateRunning, StateCancelled},
	StateRunning: {StatePaused, StateStopped, StateCancelled, StateDone, StateFailed},
	StatePaused:  {StateRunning, StateCancelled},
	StateStopped: {StateRunning, StateCancelled},
	StateFailed:  {StateRunning}, // Retry
}

// CanBecome reports whether a run may go from s to next in one step.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Ended reports whether nothing more happens in a run unless somebody acts: it is
// stopped, cancelled or done.
func (s State) Ended() bool {
	return s == StateStopped || s == StateCancelled || s == StateDone || s == StateFailed
}

func (s State) validate() error {
	if !slices.Contains(States(), s) {
		return fmt.Errorf("%w: state %q of a run", tenancy.ErrInvalid, string(s))
	}
	return nil
}

// TenantState says where one tenant stands in a run.
type TenantState string

// The states of a tenant in a run.
const (
	// TenantPending is a tenant whose turn has not come.
	TenantPending TenantState = "pending"
	// TenantWorking is a tenant that an instance works on.
	TenantWorking TenantState = "working"
	// TenantDone is a tenant for which the task returned no error.
	TenantDone TenantState = "done"
	// TenantFailed is a tenant whose error is kept.
	TenantFailed TenantState = "failed"
	// TenantSkipped is a tenant that took no part, for a reason that is kept.
	TenantSkipped TenantState = "skipped"
	// TenantCancelled is a tenant whose turn had not come when the run was
	// cancelled.
	TenantCancelled TenantState = "cancelled"
)

// TenantStates returns all states of a tenant in a run.
func TenantStates() []TenantState {
	return []TenantState{TenantPending, TenantWorking, TenantDone, TenantFailed, TenantSkipped, TenantCancelled}
}

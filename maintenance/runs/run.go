package runs

import (
	"time"

	"github.com/artflow-studio/tenancy"
)

// Run is a plan, or a run that was started from one. The caller may modify it.
type Run struct {
	ID    string        `json:"id"`
	Task  string        `json:"task"`
	State State         `json:"state"`
	Spec  Spec          `json:"spec"`
	Actor tenancy.Actor `json:"actor"`
	// Reason says why the run is paused, stopped or cancelled.
	Reason string `json:"reason,omitempty"`
	// Wave is the number of the wave that is worked on, from 1, or 0 before the
	// start.
	Wave   int `json:"wave"`
	Counts     // of all waves, and of those that the plan left out
	// Waves are in order, without the tenants that the plan left out.
	Waves []Wave `json:"waves,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is when a plan that nobody has started ends.
	ExpiresAt time.Time `json:"expires_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// ResumeAt is when a paused run goes on by itself.
	ResumeAt time.Time `json:"resume_at,omitzero"`
}

// Wave is one wave of a run.
type Wave struct {
	Number int `json:"number"`
	Counts
}

// Counts are the numbers of tenants by state. Tenants that are pending or worked on are
// in Total alone.
type Counts struct {
	Total     int `json:"total"`
	Done      int `json:"done"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// Finished is the number of tenants for which nothing more happens.
func (c Counts) Finished() int { return c.Done + c.Failed + c.Skipped + c.Cancelled }

func (c *Counts) add(more Counts) {
	c.Total += more.Total
	c.Done += more.Done
	c.Failed += more.Failed
	c.Skipped += more.Skipped
	c.Cancelled += more.Cancelled
}

// Plan is what [Runner.Plan] found: which tenants a run would work on. It is a run
// in the state planned.
type Plan struct {
	Run
	// Eligible is the number of tenants that the run works on.
	Eligible int `json:"eligible"`
	// Sample are the first of them, and LeftOut the first of those that are
	// skipped, each up to ten. [Runner.Results] has all.
	Sample  []Result `json:"sample,omitempty"`
	LeftOut []Result `json:"left_out,omitempty"`
	// Estimate is how long the run may take, by what the task took for tenants in
	// earlier runs. It is zero when there are none.
	Estimate time.Duration `json:"estimate,omitempty"`
}

// Result is one tenant's part of a run.
type Result struct {
	// Number is the place in the run, from 1; below 0 for tenants that the plan
	// left out.
	Number int64       `json:"number"`
	Tenant tenancy.ID  `json:"tenant"`
	Slug   string      `json:"slug"` // when the run was planned
	State  TenantState `json:"state"`
	// Attempt is the number of attempts: how often the task was called, or was about to be when its instance died.
	Attempt int `json:"attempt,omitempty"`
	// Text is the error of a tenant that failed and the reason of one that was
	// skipped. It is for operators, never for tenants.
	Text       string    `json:"text,omitempty"`
	Checkpoint string    `json:"checkpoint,omitempty"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
}

// Progress is what [Runner.Follow] yields.
type Progress struct {
	Run
	// Rate is how many tenants were finished in a second, lately.
	Rate float64 `json:"rate"`
	// Left is how long the rest takes at that rate, without pauses. It is zero
	// while that is not known.
	Left time.Duration `json:"left,omitempty"`
}

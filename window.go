package tenancy

import (
	"fmt"
	"time"
)

// Window is a span of time, once or again and again.
type Window struct {
	// Start is when it begins. With a Rule, no repetition begins before Start.
	Start time.Time `json:"start,omitzero"`
	// End is when it ends. With a Rule, no repetition begins at End or later. The
	// zero time is never.
	End time.Time `json:"end,omitzero"`
	// Rule says when it begins: a cron expression of five fields. Each repetition
	// lasts for Length.
	Rule   string        `json:"rule,omitempty"`
	Length time.Duration `json:"length,omitempty"` // in nanoseconds
	// Zone is the IANA time zone that Rule is in. Default: UTC.
	Zone string `json:"zone,omitempty"`
}

// validate does not read the rule, which is the package maintenance's.
func (w Window) validate() error {
	switch {
	case w.Rule == "" && (w.Start.IsZero() || w.Length != 0):
		return fmt.Errorf("%w: a window without a rule wants a start, and has an end or none", ErrInvalid)
	case w.Rule != "" && w.Length <= 0:
		return fmt.Errorf("%w: a window with a rule wants a length", ErrInvalid)
	case !w.End.IsZero() && !w.Start.Before(w.End):
		return fmt.Errorf("%w: a window that ends before it begins", ErrInvalid)
	}
	return validateTimes("a window", w.Start, w.End)
}

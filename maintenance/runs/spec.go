package runs

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Spec says for which tenants a task is done, and how. It is kept with the run as
// JSON. Durations are nanoseconds there.
type Spec struct {
	// Params are the task's parameters.
	Params tenancy.Params `json:"params,omitempty"`
	// Filter selects the tenants, in the form of [tenancy.ParseFilter], such as
	// "status:active plan:pro". One of blanks alone is malformed. Default: all tenants that
	// the task can take.
	Filter string `json:"filter,omitempty"`
	// IDs are the tenants, instead of a filter.
	IDs []tenancy.ID `json:"ids,omitempty"`
	// Exclude are tenants that are left out, whatever selects them.
	Exclude []tenancy.ID `json:"exclude,omitempty"`
	Waves   Waves        `json:"waves,omitzero"`
	// Parallel is how many tenants are worked on at a time, over all instances.
	// Default: 4.
	Parallel int `json:"parallel,omitempty"`
	// PerServer is how many of them may be on one database server. Default: no
	// limit beyond Parallel.
	PerServer int    `json:"per_server,omitempty"`
	Budget    Budget `json:"budget,omitzero"`
	// Timeout is the time that the task has for one tenant. Negative: no limit.
	// Default: 10 minutes.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Key is an idempotency key: while a plan or run with that key is kept, Plan
	// returns it instead of making another. A plan that is cancelled before it was
	// started gives its key up. Keys that begin with "schedule/" are those of schedules, whose
	// plans keep them: to Plan they are errors that wrap [tenancy.ErrInvalid]. Default: none.
	Key string `json:"key,omitempty"`
}

// Waves divide a run. A wave begins when the one before it is over.
type Waves struct {
	// Canary is the number of tenants in the first wave. A failure among them
	// stops the run. Default: no canary.
	Canary int `json:"canary,omitempty"`
	// CanaryIDs are the tenants of the first wave by ID, before Canary others. A plan in which
	// no canary can take part is an error that wraps [tenancy.ErrInvalid]. A canary that is
	// skipped when its turn comes does not keep the next wave from beginning.
	CanaryIDs []tenancy.ID `json:"canary_ids,omitempty"`
	// Then are the sizes of the waves behind the canary, as numbers or as shares of
	// all tenants: "25%", or "10, 5%, 25%". The last is used again until all are
	// in a wave. Default: one wave.
	Then string `json:"then,omitempty"`
	// Pause is the time between two waves. Default: none.
	Pause time.Duration `json:"pause,omitempty"`
	// Approval pauses the run between two waves until [Runner.Resume] is called.
	Approval bool `json:"approval,omitempty"`
}

// Budget is how many tenants may fail before the run stops. Each field is a number, such as
// "5", or a share, such as "2%", which is rounded up. With "0" the first failure stops the run.
// Default: no limit.
type Budget struct {
	// InAll counts the failures of the whole run.
	InAll string `json:"in_all,omitempty"`
	// PerWave counts the failures of each wave. A share is one of the wave's tenants.
	PerWave string `json:"per_wave,omitempty"`
}

const (
	defaultParallel = 4
	maxParallel     = 1000
	defaultTimeout  = 10 * time.Minute
	maxKey          = 128
	maxIDs          = 10_000
	maxWaves        = 1000
)

// complete fills in defaults and checks what does not depend on the task.
func (s *Spec) complete() error {
	if s.Parallel == 0 {
		s.Parallel = defaultParallel
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	for _, n := range []struct {
		what        string
		value, most int
	}{
		{"Parallel", s.Parallel, maxParallel}, {"PerServer", s.PerServer, maxParallel}, {"Canary", s.Waves.Canary, math.MaxInt32},
		{"number of IDs", len(s.IDs), maxIDs}, {"number of excluded IDs", len(s.Exclude), maxIDs}, {"number of canary IDs", len(s.Waves.CanaryIDs), maxIDs},
	} {
		if n.value < 0 || n.value > n.most {
			return fmt.Errorf("%w: %s %d, want 0 to %d", tenancy.ErrInvalid, n.what, n.value, n.most)
		}
	}
	if s.Waves.Pause < 0 {
		return fmt.Errorf("%w: a pause of %v between waves, want 0 or more", tenancy.ErrInvalid, s.Waves.Pause)
	}
	if len(s.Key) > maxKey || strings.ContainsFunc(s.Key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%w: idempotency key %.40q, want up to %d printable ASCII characters", tenancy.ErrInvalid, s.Key, maxKey)
	}
	if s.Filter != "" && len(s.IDs) > 0 {
		return fmt.Errorf("%w: a filter and IDs, want one of them", tenancy.ErrInvalid)
	}
	if s.Filter != "" && strings.TrimSpace(s.Filter) == "" {
		return fmt.Errorf("%w: a filter of blanks alone", tenancy.ErrInvalid)
	}
	for _, ids := range [][]tenancy.ID{s.IDs, s.Exclude, s.Waves.CanaryIDs} {
		for _, id := range ids {
			if err := id.Validate(); err != nil {
				return err
			}
		}
	}
	s.IDs = slices.Compact(slices.Sorted(slices.Values(s.IDs))) // the caller's stay as they are
	for _, id := range s.Waves.CanaryIDs {
		if len(s.IDs) > 0 && !slices.Contains(s.IDs, id) {
			return fmt.Errorf("%w: the canary %q is not among the IDs", tenancy.ErrInvalid, string(id))
		}
	}
	if _, err := parseSizes(s.Waves.Then); err != nil {
		return err
	}
	for _, text := range []string{s.Budget.InAll, s.Budget.PerWave} {
		if _, err := parseAmount(text); err != nil {
			return err
		}
	}
	return nil
}

// amount is a number, or a share of a total.
type amount struct {
	set   bool
	share bool
	value float64
}

// parseAmount reads "5" or "2.5%". An empty text is an amount that is not set.
func parseAmount(text string) (amount, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return amount{}, nil
	}
	number, share := strings.CutSuffix(text, "%")
	if share {
		if v, err := strconv.ParseFloat(number, 64); err == nil && v >= 0 && v <= 100 {
			return amount{true, true, v / 100}, nil
		}
	} else if v, err := strconv.ParseUint(number, 10, 31); err == nil {
		return amount{true, false, float64(v)}, nil
	}
	return amount{}, fmt.Errorf("%w: %.40q, want a number such as 5 or a share such as 2%%", tenancy.ErrInvalid, text)
}

// of returns the amount as a number; a share of the total is rounded up.
func (a amount) of(total int) int {
	if a.share {
		return int(math.Ceil(a.value*float64(total) - 1e-9))
	}
	return int(a.value)
}

// parseSizes reads the sizes of waves.
func parseSizes(text string) (sizes []amount, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		a, err := parseAmount(part)
		if err == nil && (!a.set || a.value == 0) {
			err = fmt.Errorf("%w: a wave of no tenants in %.40q", tenancy.ErrInvalid, text)
		}
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, a)
	}
	return sizes, nil
}

// sizes returns the number of tenants in each wave of a run over total tenants, of
// which the first canaries are the canary.
func (w Waves) sizes(total, canaries int) ([]int, error) {
	then, err := parseSizes(w.Then)
	if err != nil || total == 0 {
		return nil, err
	}
	var out []int
	rest := total
	if canaries > 0 {
		out = append(out, min(canaries, rest))
		rest -= out[0]
	}
	for i := 0; rest > 0; i++ {
		n := rest
		if len(then) > 0 {
			n = min(rest, max(1, then[min(i, len(then)-1)].of(total)))
		}
		out = append(out, n)
		rest -= n
		if len(out) > maxWaves {
			return nil, fmt.Errorf("%w: more than %d waves of %d tenants", tenancy.ErrInvalid, maxWaves, total)
		}
	}
	return out, nil
}

// hasCanary reports whether the first wave is a canary.
func (w Waves) hasCanary() bool { return w.Canary > 0 || len(w.CanaryIDs) > 0 }

package maintenance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Tasks returns tasks that change tenants' records, by name, for runs over many of them:
//
//   - activate, suspend, block, deactivate, archive: change the status
//   - tag: the parameters add and remove are tags, separated by commas
//   - update: the plan, limits and settings in one change; see [UpdateTask]
//   - plan and limit: a part of update, for runs and schedules that name them. Of plan the
//     parameter to is the new plan; empty: none. Of limit the parameter name is a limit of
//     the record, to its new value; without to the limit is removed
//
// A tenant that is as it should be already stays as it is, and is done. Tenants that are
// being provisioned or are archived cannot take part: their creation must be resumed first,
// or they must be restored.
func Tasks(e Editor) map[string]tenancy.Task {
	return map[string]tenancy.Task{
		"activate":   StatusTask(e, tenancy.StatusActive),
		"suspend":    StatusTask(e, tenancy.StatusSuspended),
		"block":      StatusTask(e, tenancy.StatusBlocked),
		"deactivate": StatusTask(e, tenancy.StatusInactive),
		"archive":    StatusTask(e, tenancy.StatusArchived),
		"tag":        TagTask(e),
		"plan":       PlanTask(e),
		"limit":      LimitTask(e),
		"update":     UpdateTask(e),
	}
}

// StatusTask returns the task that gives tenants a status. It takes no parameters. Tenants
// that [tenancy.Status.WhyNot] refuses, such as those that are being provisioned, cannot
// take part.
func StatusTask(e Editor, status tenancy.Status) tenancy.Task {
	return tenancy.Task{
		Eligible: func(t *tenancy.Tenant) error {
			if why := t.Status.WhyNot(status); why != "" {
				return errors.New(why)
			}
			return nil
		},
		Do: editing(e, func(t *tenancy.Tenant, _ tenancy.Params) error {
			if why := t.Status.WhyNot(status); why != "" { // since it was read
				return tenancy.Skip(why)
			}
			t.Status = status
			return nil
		}),
	}
}

// TagTask returns the task that adds and removes tags. See [Tasks].
func TagTask(e Editor) tenancy.Task {
	return tenancy.Task{
		Eligible: lives,
		Validate: func(p tenancy.Params) error {
			add, remove := tags(p["add"]), tags(p["remove"])
			for _, tag := range slices.Concat(add, remove) {
				if err := tenancy.ValidateTag(tag); err != nil {
					return err
				}
			}
			if len(add)+len(remove) == 0 {
				return fmt.Errorf("%w: want the parameter add or remove, or both, with tags", tenancy.ErrInvalid)
			}
			return only(p, "add", "remove")
		},
		Do: editing(e, func(t *tenancy.Tenant, p tenancy.Params) error {
			add, remove := tags(p["add"]), tags(p["remove"])
			t.Tags = slices.DeleteFunc(t.Tags, func(tag string) bool { return slices.Contains(remove, tag) })
			t.Tags = slices.Concat(t.Tags, add)
			return nil
		}),
	}
}

// PlanTask returns the task that sets the plan: the one of [UpdateTask] by another name. See [Tasks].
func PlanTask(e Editor) tenancy.Task {
	return updateAs(e, func(p tenancy.Params) (tenancy.Params, error) {
		to, ok := p["to"]
		if !ok {
			return nil, fmt.Errorf("%w: want the parameter to, the new plan", tenancy.ErrInvalid)
		}
		return tenancy.Params{"plan": to}, only(p, "to")
	})
}

// LimitTask returns the task that sets or removes a limit: the one of [UpdateTask] by another name. See [Tasks].
func LimitTask(e Editor) tenancy.Task {
	return updateAs(e, func(p tenancy.Params) (tenancy.Params, error) {
		to, set := p["to"]
		switch {
		case p["name"] == "":
			return nil, fmt.Errorf("%w: want the parameter name, the limit's name", tenancy.ErrInvalid)
		case set && to == "": // by mistake: without to the limit is removed
			return nil, fmt.Errorf("%w: limit %.40q, want a number", tenancy.ErrInvalid, to)
		}
		return tenancy.Params{"limit." + p["name"]: to}, only(p, "name", "to")
	})
}

// Locker keeps work apart that must not be done for one tenant at the same time. A
// *lifecycle.Locks is one.
type Locker interface {
	// Lock runs fn while nobody else is in Lock with the tenant. The purpose is what
	// others see while they wait. The context of fn ends when the lock is lost.
	Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error
}

// SeedTask returns the task that seeds tenants' databases with what lifecycle.Options.Seed
// does for new ones, alone with each tenant: the locks are those of its creation, purge and
// migrations. Nil locks keep nobody away. It takes no parameters.
func SeedTask(locks Locker, seed func(ctx context.Context, t *tenancy.Tenant) error) tenancy.Task {
	return tenancy.Task{
		Eligible: lives,
		Do: func(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
			if locks == nil {
				return seed(ctx, t)
			}
			return locks.Lock(ctx, t.ID, "its seed", func(ctx context.Context) error { return seed(ctx, t) })
		},
	}
}

// editing returns a task's function that changes the record.
func editing(e Editor, change func(*tenancy.Tenant, tenancy.Params) error) func(context.Context, *tenancy.Tenant, tenancy.Attempt) error {
	return func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		_, err := e.Edit(ctx, t.ID, func(t *tenancy.Tenant) error { return change(t, a.Params) })
		return err
	}
}

// lives refuses tenants that are not there yet or not any more.
func lives(t *tenancy.Tenant) error {
	if t.Status.Removable() {
		return fmt.Errorf("the tenant is %s", t.Status)
	}
	return nil
}

// probe returns what is wrong with a change that no record would take.
func probe(change func(*tenancy.Tenant)) error {
	t := &tenancy.Tenant{ID: "probe", Slug: "probe", Status: tenancy.StatusActive}
	change(t)
	return t.Validate()
}

// only refuses parameters of other names.
func only(p tenancy.Params, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: parameter %.40q, want %q", tenancy.ErrInvalid, name, names)
		}
	}
	return nil
}

// tags divides a list of tags.
func tags(text string) (out []string) {
	for _, tag := range list(text) {
		out = append(out, strings.ToLower(tag))
	}
	return out
}

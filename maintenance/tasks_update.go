package maintenance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// UpdateTask returns the task that sets what the application keeps in records, several
// things in one change: the parameter plan is the new plan; limit.NAME and setting.NAME
// are the values of limits and settings, which an empty value removes. See [Tasks].
func UpdateTask(e Editor) tenancy.Task {
	return tenancy.Task{
		Eligible: lives,
		Validate: func(p tenancy.Params) error {
			if len(p) == 0 {
				return fmt.Errorf("%w: want plan, limit.NAME or setting.NAME", tenancy.ErrInvalid)
			}
			set := maps.Clone(p)
			for name, value := range p {
				if value == "" && name != "plan" {
					set[name] = "0" // a name that no record may have is not removed, either
				}
			}
			var wrong error
			invalid := probe(func(t *tenancy.Tenant) { wrong = update(t, set) })
			return errors.Join(wrong, invalid)
		},
		Do: editing(e, update),
	}
}

// updateAs returns UpdateTask with parameters of another form, which as turns into those of UpdateTask.
func updateAs(e Editor, as func(tenancy.Params) (tenancy.Params, error)) tenancy.Task {
	task := UpdateTask(e)
	validate, do := task.Validate, task.Do
	task.Validate = func(p tenancy.Params) error {
		p, err := as(p)
		if err != nil {
			return err
		}
		return validate(p)
	}
	task.Do = func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) (err error) {
		if a.Params, err = as(a.Params); err != nil {
			return err
		}
		return do(ctx, t, a)
	}
	return task
}

// update changes a record as the parameters of UpdateTask say.
func update(t *tenancy.Tenant, p tenancy.Params) error {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		value := p[name]
		kind, key, _ := strings.Cut(name, ".")
		switch {
		case name == "plan":
			t.Plan = value
		case kind == "limit" && key != "" && value == "":
			delete(t.Limits, key)
		case kind == "limit" && key != "":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("%w: limit %s of %.40q, want a number", tenancy.ErrInvalid, key, value)
			}
			if t.Limits == nil {
				t.Limits = map[string]int64{}
			}
			t.Limits[key] = n
		case kind == "setting" && key != "" && value == "":
			delete(t.Settings, key)
		case kind == "setting" && key != "":
			if t.Settings == nil {
				t.Settings = map[string]string{}
			}
			t.Settings[key] = value
		default:
			return fmt.Errorf("%w: parameter %.40q, want plan, limit.NAME or setting.NAME", tenancy.ErrInvalid, name)
		}
	}
	return nil
}

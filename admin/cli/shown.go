package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// redacted stands for a value that may be a secret.
const redacted = "[redacted]"

// showsSetting reports whether values of the setting are no secrets, or are to be shown all the same.
func (p *program) showsSetting(name string) bool {
	return p.secrets || name == "homepage" || slices.Contains(p.app.ShownSettings, name)
}

// shownSettings returns settings without the values that may be secrets.
func (p *program) shownSettings(all map[string]string) map[string]string {
	out := maps.Clone(all)
	for name := range out {
		if !p.showsSetting(name) {
			out[name] = redacted
		}
	}
	return out
}

// shownValue returns the value as logs may keep it: of a record without keys, which "apikey list" shows, and of records, runs and entries
// without the values of settings that may be secrets.
func (p *program) shownValue(v any) any {
	switch v := v.(type) {
	case *tenancy.Tenant:
		t := v.Clone()
		t.Access.Keys, t.Settings = nil, p.shownSettings(t.Settings)
		return t
	case *runs.Run:
		return p.shownRun(*v)
	case *runs.Plan:
		plan := *v
		plan.Run = p.shownRun(plan.Run)
		return plan
	case runs.Progress:
		v.Run = p.shownRun(v.Run)
		return v
	case tenancy.Entry:
		v.Changes = p.shownChanges(v.Changes)
		return v
	}
	return v
}

func (p *program) shownRun(r runs.Run) runs.Run {
	r.Spec.Params = maps.Clone(r.Spec.Params)
	for name := range r.Spec.Params {
		if setting, is := strings.CutPrefix(name, "setting."); is && !p.showsSetting(setting) {
			r.Spec.Params[name] = redacted
		}
	}
	return r
}

func (p *program) shownChanges(changes []tenancy.FieldChange) []tenancy.FieldChange {
	out := slices.Clone(changes)
	for i := range out {
		name, isSetting := strings.CutPrefix(out[i].Field, "settings.")
		if out[i].Field != "settings" && (!isSetting || p.showsSetting(name)) {
			continue
		}
		for _, value := range []*json.RawMessage{&out[i].Before, &out[i].After} {
			if len(*value) > 0 {
				*value = json.RawMessage(`"` + redacted + `"`)
			}
		}
	}
	return out
}

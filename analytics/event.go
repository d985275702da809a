package analytics

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Event is one change of a tenant's record, made by whatever process. A catalog.Event converts to it: analytics.Event(e).
type Event struct {
	ID      string
	Tenant  tenancy.ID
	Version int64
	Kind    string
	Time    time.Time
	Actor   tenancy.Actor
	Changes []tenancy.FieldChange
}

// Kinds of events about the whole record.
const (
	eventCreate = "tenant.create"
	eventDelete = "tenant.delete"
)

// Delivered takes note of a change that another process may have made, as a catalog.Outbox delivers it: as the activities that
// [Recorder.Changed] makes of changes in this process, at the time and by the actor of the event. A change that Changed has reported too,
// here or on another instance, adds none, and neither does an event that is delivered again. t is the tenant's record as it is now,
// which is noted, too. The end of a purge is no activity.
func (rec *Recorder) Delivered(t *tenancy.Tenant, e Event) {
	if t == nil {
		return
	}
	rec.in(t.ID, func(c *cell) bool { return c.note(t) })
	for _, c := range changesIn(&e) {
		rec.changed(t, e.Version, c, e.Actor, e.Time)
	}
}

// changed adds the activity of a change, whose key says which change of which record it is.
func (rec *Recorder) changed(t *tenancy.Tenant, version int64, c change, actor tenancy.Actor, at time.Time) {
	rec.notes.add(rec.id, Activity{
		Key: fmt.Sprintf("change:%s:%d:%d:%s", t.ID, toMicros(t.CreatedAt), version, c.kind), Tenant: t.ID, Type: "tenant_" + c.kind,
		Description: plainRunes(c.text, maxDescription), ActorKind: plain(string(actor.Kind), 16), ActorID: plain(actor.ID, maxActor),
		CreatedAt: at.UTC().Truncate(time.Microsecond), Times: 1,
	})
}

// changesIn says what an event changed, in the words of changesOf. Of limits and keys an event has those alone that changed.
func changesIn(e *Event) (all []change) {
	was, is := map[string]string{}, map[string]string{}
	for _, c := range e.Changes {
		kind, name, _ := strings.Cut(c.Field, ".")
		if len(c.Before) > 0 {
			was[kind] = strings.TrimSpace(was[kind] + " " + eventText(kind, name, c.Before))
		}
		if len(c.After) > 0 {
			is[kind] = strings.TrimSpace(is[kind] + " " + eventText(kind, name, c.After))
		}
	}
	switch {
	case e.Kind == eventCreate:
		return []change{{"created", "created as " + is["slug"]}}
	case e.Kind == eventDelete && was["status"] == string(tenancy.StatusPurging):
		return nil
	case e.Kind == eventDelete:
		return []change{{"deleted", "deleted " + was["slug"]}}
	}
	for _, kind := range changeKinds() {
		all = noteChange(all, kind, was[kind], is[kind])
	}
	return all
}

// eventText returns the text of one field of an event.
func eventText(kind, name string, value json.RawMessage) string {
	switch kind {
	case "limits":
		return name + "=" + string(value)
	case "keys":
		return name
	case "domains":
		var all []string
		if json.Unmarshal(value, &all) == nil {
			return strings.Join(all, " ")
		}
	case "maintenance":
		var m tenancy.Maintenance
		shown := struct {
			Mode    *tenancy.MaintenanceMode `json:"mode"`
			BeganAt *time.Time               `json:"began_at"`
		}{&m.Mode, &m.BeganAt}
		if json.Unmarshal(value, &shown) == nil {
			return maintenanceText(&m)
		}
	case "status", "slug", "plan":
		var text string
		if json.Unmarshal(value, &text) == nil {
			return text
		}
	}
	return string(value)
}

// changeKinds returns the kinds of changes that are activities, in their order.
func changeKinds() []string {
	return []string{"status", "slug", "domains", "plan", "limits", "maintenance", "keys"}
}

// noteChange adds a change from one text to another.
func noteChange(all []change, kind, was, is string) []change {
	if was == is {
		return all
	}
	return append(all, change{kind, fmt.Sprintf("%s: %s -> %s", kind, orNone(was), orNone(is))})
}

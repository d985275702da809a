package analytics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// Longest texts of an activity: bytes, except for the description's characters.
const (
	maxType        = 50
	maxActor       = 200
	maxDescription = 2000
	maxAgent       = 512
	maxRequest     = 128
	maxSubject     = 200
	maxMethod      = 50
	maxReason      = 200
)

const (
	maxNotes      = 10_000 // that wait to be written
	notesAtOnce   = 500
	noteTime      = time.Second
	maxFailures   = 60 // failed logins of a tenant in a minute that are kept one by one
	typeLogin     = "login"
	typeFailures  = "login_failures"
	maxNoteMinute = 10_000 // tenants whose failed logins are counted
)

// notes are activities that wait to be written.
type notes struct {
	mu       sync.Mutex // guards what follows
	waiting  []Activity
	sequence int64
	dropped  int64
	failures map[tenancy.ID]*failures
}

// failures are the failed logins of one tenant in one minute.
type failures struct {
	minute int64
	n      int64
}

// Note records something that happened to the context's tenant, or to the application:
// a.Type and a.Description. Who did it and from where is the context's: see
// [tenancy.ActorFrom]. A text that is too long is cut, and control characters become
// spaces. What does not fit into memory is counted and dropped.
func (rec *Recorder) Note(ctx context.Context, a Activity) {
	rec.note(ctx, Activity{Type: plain(a.Type, maxType), Description: plainRunes(a.Description, maxDescription)})
}

// Login records a login of a user of the context's tenant, or an attempt. Of a
// tenant's failed ones beyond 60 in a minute only the number is kept.
func (rec *Recorder) Login(ctx context.Context, l Login) {
	l.Subject, l.Method, l.Reason = plain(l.Subject, maxSubject), plain(l.Method, maxMethod), plain(l.Reason, maxReason)
	if !l.OK && !rec.notes.admit(rec, ownerID(ctx), time.Now()) {
		return
	}
	rec.note(ctx, Activity{Type: typeLogin, Login: &l})
}

func ownerID(ctx context.Context) tenancy.ID {
	id, _ := owner(ctx)
	return id
}

// note completes an activity by what the context says.
func (rec *Recorder) note(ctx context.Context, a Activity) {
	id, t := owner(ctx)
	if t != nil {
		rec.in(id, func(c *cell) bool { return c.note(t) })
	}
	actor := tenancy.ActorFrom(ctx)
	a.Tenant, a.CreatedAt, a.Times = id, time.Now().UTC().Truncate(time.Microsecond), 1
	a.ActorKind, a.ActorID = plain(string(actor.Kind), 16), plain(actor.ID, maxActor)
	a.UserAgent, a.RequestID = plain(actor.UserAgent, maxAgent), plain(actor.RequestID, maxRequest)
	if actor.Address.IsValid() {
		a.Address = ipnet.Plain(actor.Address).String()
	}
	rec.notes.add(rec.id, a)
}

// add lets an activity wait. Without a key it gets one of its own.
func (n *notes) add(source int64, a Activity) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) >= maxNotes {
		n.dropped++
		return
	}
	if a.Key == "" {
		n.sequence++
		a.Key = fmt.Sprintf("%016x:%d", uint64(source), n.sequence) // any 64 bits will do
	}
	n.waiting = append(n.waiting, a)
}

// admit counts a failed login. It reports whether it is kept by itself.
func (n *notes) admit(rec *Recorder, id tenancy.ID, now time.Time) bool {
	at := now.Unix() / 60
	n.mu.Lock()
	old := n.failures[id]
	if old != nil && old.minute == at {
		old.n++
		kept := old.n <= maxFailures
		n.mu.Unlock()
		return kept
	}
	if n.failures == nil {
		n.failures = map[tenancy.ID]*failures{}
	}
	known := len(n.failures) < maxNoteMinute || old != nil
	if known {
		n.failures[id] = &failures{at, 1}
	} else {
		n.dropped++
	}
	n.mu.Unlock()
	if old != nil {
		n.sum(rec, id, old)
	}
	return known
}

// sum adds the row of counts of a minute that is over.
func (n *notes) sum(rec *Recorder, id tenancy.ID, f *failures) {
	if f.n <= maxFailures {
		return
	}
	n.add(rec.id, Activity{
		Key: fmt.Sprintf("%016x:failures:%s:%d", uint64(rec.id), id, f.minute), Tenant: id, Type: typeFailures, // any 64 bits will do
		Description: fmt.Sprintf("%d more failed logins in this minute", f.n-maxFailures), ActorKind: string(tenancy.ActorUnknown),
		CreatedAt: time.Unix(60*f.minute, 0).UTC(), Times: f.n - maxFailures,
	})
}

// sumAll adds the rows of minutes that are over, or of all.
func (n *notes) sumAll(rec *Recorder, now time.Time, all bool) {
	n.mu.Lock()
	over := map[tenancy.ID]*failures{}
	for id, f := range n.failures {
		if all || f.minute < now.Unix()/60 {
			over[id] = f
			delete(n.failures, id)
		}
	}
	n.mu.Unlock()
	for id, f := range over {
		n.sum(rec, id, f)
	}
}

// take returns the oldest of those that wait. put gives them back.
func (n *notes) take() []Activity {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := min(len(n.waiting), notesAtOnce)
	taken := slices.Clone(n.waiting[:k])
	n.waiting = slices.Delete(n.waiting, 0, k)
	return taken
}

func (n *notes) put(taken []Activity) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = slices.Concat(taken, n.waiting)
	if over := len(n.waiting) - maxNotes; over > 0 {
		n.waiting, n.dropped = n.waiting[:maxNotes], n.dropped+int64(over)
	}
}

// writeNotes writes all activities that wait. The caller has the turn.
func (rec *Recorder) writeNotes(ctx context.Context, ending bool) error {
	rec.notes.sumAll(rec, time.Now(), ending)
	for {
		taken := rec.notes.take()
		if len(taken) == 0 {
			return nil
		}
		rec.instance.Dropped = rec.notes.droppedSoFar()
		writing, cancel := context.WithTimeout(ctx, rec.opts.WriteTimeout)
		// With the records of their tenants, or there would be rows of tenants that nobody knows.
		b := &Batch{Instance: rec.instance, Tenants: rec.unwritten(), Activities: taken}
		_, err := rec.sink.Write(writing, b)
		cancel()
		if err != nil {
			rec.notes.put(taken) // those that were written after all have their keys
			return err
		}
		rec.wrote(b.Tenants)
	}
}

// forget drops what waits of a tenant.
func (n *notes) forget(id tenancy.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = slices.DeleteFunc(n.waiting, func(a Activity) bool { return a.Tenant == id })
	delete(n.failures, id)
}

func (n *notes) droppedSoFar() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dropped
}

// Changed takes note of a change of a tenant's record, as a catalog reports it: of the
// record itself, and as activities: created, deleted, and changes of status, slug, domains,
// plan, limits, maintenance and keys. No secret is in them. One change that is reported
// again, also by another instance, adds none. Err is that of the change, if it may not have
// happened; then the activity says so. The end of a purge is no activity: nothing is kept of
// a tenant that is purged, see [Recorder.Forget]. A catalog reports the changes of its own process:
// those of others, such as a command line, come by [Recorder.Delivered].
func (rec *Recorder) Changed(ctx context.Context, before, after *tenancy.Tenant, err error) {
	t := after
	if t == nil {
		t = before
	}
	if t == nil {
		return
	}
	if after != nil && err == nil {
		rec.in(after.ID, func(c *cell) bool { return c.note(after) })
	}
	version := t.Version
	if after == nil {
		version++
	}
	doubt := ""
	if err != nil {
		doubt = " (it is not known whether this was carried out)"
	}
	actor := tenancy.ActorFrom(ctx)
	for _, c := range changesOf(before, after) {
		c.text += doubt
		rec.changed(t, version, c, actor, time.Now())
	}
}

type change struct{ kind, text string }

// changesOf says what differs between two records.
func changesOf(before, after *tenancy.Tenant) (all []change) {
	switch {
	case before == nil:
		return []change{{"created", "created as " + after.Slug}}
	case after == nil && before.Status == tenancy.StatusPurging:
		return nil
	case after == nil:
		return []change{{"deleted", "deleted " + before.Slug}}
	}
	texts := func(t *tenancy.Tenant) map[string]string {
		return map[string]string{
			"status": string(t.Status), "slug": t.Slug, "domains": strings.Join(t.Domains, " "), "plan": t.Plan, "limits": limitsText(t.Limits),
			"maintenance": maintenanceText(t.Access.Maintenance), "keys": keysText(t.Access.Keys),
		}
	}
	was, is := texts(before), texts(after)
	for _, kind := range changeKinds() {
		all = noteChange(all, kind, was[kind], is[kind])
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func limitsText(limits map[string]int64) string {
	var all []string
	for name, n := range limits {
		all = append(all, fmt.Sprintf("%s=%d", name, n))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// maintenanceText has no secret in it, neither that of the bypass nor its hash.
func maintenanceText(m *tenancy.Maintenance) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%s since %s", m.Mode, m.BeganAt.UTC().Format(time.RFC3339))
}

// keysText has the IDs of keys alone.
func keysText(keys []tenancy.APIKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, k.ID)
	}
	return strings.Join(all, " ")
}

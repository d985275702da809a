package audit

import (
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

const (
	// foldTime is how long equal entries are counted together.
	foldTime = time.Minute
	// maxFolds is how many kinds of entries are counted at a time. Others become
	// one.
	maxFolds = 256
	// atOnce is how many entries a second are written when they happen.
	atOnce = 10
	// actionFolded is the action of what is more than maxFolds kinds.
	actionFolded = "audit.folded"
)

// foldKey is what entries have in common that are counted together.
type foldKey struct {
	action, object string
	tenant         tenancy.ID
	result         tenancy.AuditResult
	actor          tenancy.Actor // kind, ID and address
}

func keyOf(e *tenancy.Entry) foldKey {
	return foldKey{e.Action, e.Object, e.Tenant, e.Result, tenancy.Actor{Kind: e.Actor.Kind, ID: e.Actor.ID, Address: e.Actor.Address}}
}

// folder counts entries of what was not done, so that a flood fills no disk.
type folder struct {
	mu      sync.Mutex // guards what follows
	began   time.Time  // when the first of all was seen
	all     map[foldKey]*tenancy.Entry
	unknown int       // how many of them are of nobody who is known
	second  time.Time // of the last entry that was written at once
	n       int       // how many were in it
}

func newFolder() *folder { return &folder{all: map[foldKey]*tenancy.Entry{}} }

func (f *folder) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

// fold counts the entry and reports true, or reports false if it is to be written
// now, as the first of its kind.
func (f *folder) fold(e tenancy.Entry, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		f.began = now
	}
	key := keyOf(&e)
	if known, ok := f.all[key]; ok {
		if known.Count == 0 { // the first was written
			count := e.Count
			*known = e
			known.Count = count
			return true
		}
		known.Count += e.Count
		return true
	}
	if second := now.Truncate(time.Second); !second.Equal(f.second) {
		f.second, f.n = second, 0
	}
	full := f.full(&e)
	if f.n < atOnce && !full {
		f.n++
		e.Count = 0
		f.add(key, &e)
		return false
	}
	if full {
		e.Action, e.Object, e.Tenant, e.Actor, e.Problem = actionFolded, "", "", tenancy.Actor{Kind: tenancy.ActorUnknown}, "too many kinds to be told apart"
		if known, ok := f.all[keyOf(&e)]; ok {
			known.Count += e.Count
			return true
		}
		key = keyOf(&e)
	}
	f.add(key, &e)
	return true
}

// full reports whether there is no room for another kind. Those of nobody who is known have half of it: strangers, who can send whatever they like,
// do not make what operators were refused anonymous.
func (f *folder) full(e *tenancy.Entry) bool {
	return len(f.all) >= maxFolds || e.Actor.Kind == tenancy.ActorUnknown && f.unknown >= maxFolds/2
}

func (f *folder) add(key foldKey, e *tenancy.Entry) {
	if e.Actor.Kind == tenancy.ActorUnknown {
		f.unknown++
	}
	f.all[key] = e
}

// take returns what was counted, and begins anew, if the time is over or all is
// asked for.
func (f *folder) take(now time.Time, all bool) []tenancy.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !all && now.Sub(f.began) < foldTime {
		return nil
	}
	var out []tenancy.Entry
	for _, e := range f.all {
		if e.Count > 0 {
			out = append(out, *e)
		}
	}
	clear(f.all)
	f.unknown = 0
	return out
}

// back counts again what could not be written.
func (f *folder) back(entries []tenancy.Entry, now time.Time) (lost int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		f.began = now
	}
	for i := range entries {
		e := entries[i]
		key := keyOf(&e)
		switch known, ok := f.all[key]; {
		case ok && known.Count > 0:
			known.Count += e.Count
		case ok:
			f.all[key] = &e
		case !f.full(&e):
			f.add(key, &e)
		default:
			lost += e.Count
		}
	}
	return lost
}

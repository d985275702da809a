package runs

import (
	"slices"
	"sync"
	"time"
)

// logEvery is how often the same trouble is logged.
const logEvery = time.Minute

// instance is what the copies of a [Runner] share.
type instance struct {
	ears ears

	mu      sync.Mutex // guards workers and the entry into their wg, and logged
	workers []*worker  // one for each call of Run that goes on
	logged  map[string]time.Time
}

// begin makes a worker one that does the work of tickets.
func (i *instance) begin(w *worker) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workers = append(i.workers, w)
}

// end lets nobody enter that worker any more. Those who are in go on.
func (i *instance) end(w *worker) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.workers = slices.DeleteFunc(i.workers, func(each *worker) bool { return each == w })
}

// enter returns a worker, which keeps its lease until done is called, or nil.
func (i *instance) enter() (w *worker, done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.workers) == 0 {
		return nil, nil
	}
	w = i.workers[len(i.workers)-1]
	w.wg.Add(1)
	return w, w.wg.Done
}

// once reports whether it is time to log some trouble again.
func (i *instance) once(trouble string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.logged[trouble]) < logEvery {
		return false
	}
	if i.logged == nil {
		i.logged = map[string]time.Time{}
	}
	i.logged[trouble] = time.Now()
	return true
}

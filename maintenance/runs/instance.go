package runs

import (
	"sync"
	"time"
)

// logEvery is how often the same trouble is logged.
const logEvery = time.Minute

// instance is what the copies of a [Runner] share.
type instance struct {
	ears ears

	mu     sync.Mutex // guards worker and its entry into wg, and logged
	worker *worker    // of Run, while it runs
	logged map[string]time.Time
}

// begin makes a worker the one that does the work of tickets.
func (i *instance) begin(w *worker) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.worker = w
}

// end lets nobody come in any more. Those who are in go on.
func (i *instance) end(w *worker) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.worker == w {
		i.worker = nil
	}
}

// enter returns the worker, which keeps its lease until done is called, or nil.
func (i *instance) enter() (w *worker, done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.worker == nil {
		return nil, nil
	}
	w = i.worker
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

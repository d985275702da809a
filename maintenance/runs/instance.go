package runs

import "sync"

// instance is what the copies of a [Runner] share: the worker of [Runner.Run], while it
// runs.
type instance struct {
	mu     sync.Mutex // guards worker, and its entry into wg
	worker *worker
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

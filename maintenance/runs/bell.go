package runs

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"
)

// Bell carries news of runs between processes at once; see maintenance/runredis. A lost
// message does no harm: the database has all that counts, and every process also polls it.
type Bell interface {
	// Ring sends a message to all that listen, in this process and others.
	Ring(ctx context.Context, message []byte) error
	// Listen calls heard with each message until ctx ends, and ready each time that it
	// has begun to hear messages, also again after a time in which some may have been
	// lost. Neither call blocks. It returns when ctx ends, or with an error.
	Listen(ctx context.Context, ready func(), heard func(message []byte)) error
}

const (
	// ringEvery is how often the news of one run is sent by an instance, at the most.
	ringEvery = 200 * time.Millisecond
	// ringTime bounds the sending of a message.
	ringTime = time.Second
	// quietPolls is how many times less often Follow asks the database while it hears
	// messages.
	quietPolls = 5
)

// news is how a run stands.
type news struct {
	Run      string   `json:"run"`
	At       int64    `json:"at"` // microseconds, by the clock of the database
	State    State    `json:"state"`
	Reason   string   `json:"reason,omitempty"`
	Wave     int      `json:"wave"`
	Started  int64    `json:"started"`
	Ended    int64    `json:"ended"`
	ResumeAt int64    `json:"resume_at"`
	LeftOut  Counts   `json:"left_out,omitzero"`
	Waves    []Counts `json:"waves"` // from wave 1
}

// apply returns the run as the news say it stands.
func (n *news) apply(run *Run) *Run {
	out := *run
	out.State, out.Reason, out.Wave = n.State, n.Reason, n.Wave
	out.StartedAt, out.EndedAt, out.ResumeAt = fromMicro(n.Started), fromMicro(n.Ended), fromMicro(n.ResumeAt)
	out.Counts, out.Waves = n.LeftOut, make([]Wave, len(n.Waves))
	for i, c := range n.Waves {
		out.add(c)
		out.Waves[i] = Wave{i + 1, c}
	}
	return &out
}

// newsOf asks the database how a run stands, in one query. A run that is not there has
// none.
func (r *Runner) newsOf(ctx context.Context, id string) (*news, error) {
	var rows []struct {
		At       int64  `db:"now_at"`
		State    State  `db:"state"`
		Reason   string `db:"reason"`
		Current  int    `db:"current_wave"`
		Started  int64  `db:"started_at"`
		Ended    int64  `db:"ended_at"`
		ResumeAt int64  `db:"resume_at"`
		Wave     int    `db:"wave"`
		Counts
	}
	err := r.selects(ctx, r.db, &rows, `SELECT NOW() AS now_at, state, reason, r.wave AS current_wave, started_at, ended_at, resume_at,
		w.wave AS wave, total, done, failed, skipped, cancelled
		FROM tenancy_runs r JOIN tenancy_run_waves w ON w.run_id = r.id WHERE r.id = ? AND state <> ? ORDER BY w.wave`, id, statePlanning)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	first := rows[0]
	out := &news{Run: id, At: first.At, State: first.State, Reason: first.Reason, Wave: first.Current, Started: first.Started, Ended: first.Ended, ResumeAt: first.ResumeAt}
	for _, row := range rows {
		if row.Wave == 0 {
			out.LeftOut = row.Counts
		} else {
			out.Waves = append(out.Waves, row.Counts)
		}
	}
	return out, nil
}

// ring tells others how a run stands.
func (r *Runner) ring(ctx context.Context, id string) {
	if r.opts.Bell == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ringTime)
	defer cancel()
	n, err := r.newsOf(ctx, id)
	if err == nil && n != nil {
		var message []byte
		if message, err = json.Marshal(n); err == nil {
			err = r.opts.Bell.Ring(ctx, message)
		}
	}
	if err != nil && r.instance.once("ring") {
		r.opts.Logger.WarnContext(ctx, "runs: cannot send news of runs to other processes; they see it with their next poll", slog.Any("error", err))
	}
}

// ringer sends the news of runs that an instance works on.
type ringer struct {
	r *Runner

	mu   sync.Mutex // guards runs
	runs map[string]bool
	some chan struct{}
}

func newRinger(r *Runner) *ringer {
	return &ringer{r: r, runs: map[string]bool{}, some: make(chan struct{}, 1)}
}

// changed says that there is news of a run.
func (g *ringer) changed(id string) {
	if g.r.opts.Bell == nil {
		return
	}
	g.mu.Lock()
	g.runs[id] = true
	g.mu.Unlock()
	select {
	case g.some <- struct{}{}:
	default:
	}
}

// run sends until ctx ends, and then what is left.
func (g *ringer) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-g.some:
		}
		g.flush(ctx)
		wait(ctx, ringEvery)
	}
	g.flush(ctx)
}

func (g *ringer) flush(ctx context.Context) {
	g.mu.Lock()
	all := g.runs
	g.runs = map[string]bool{}
	g.mu.Unlock()
	for id := range all {
		g.r.ring(ctx, id)
	}
}

// ears hear messages for all in a process that want them.
type ears struct {
	mu    sync.Mutex // guards what follows
	of    map[string]map[chan *news]bool
	stop  context.CancelFunc // of who listens; nil: nobody
	alive bool               // messages come
}

// join returns a channel on which the latest news of a run come, or of all runs if id is
// empty, until leave is called. News without a run say that some may have been lost.
// Without a bell there is no channel.
func (e *ears) join(r *Runner, id string) (heard chan *news, leave func()) {
	if r.opts.Bell == nil {
		return nil, func() {}
	}
	heard = make(chan *news, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = map[string]map[chan *news]bool{}
	}
	if e.of[id] == nil {
		e.of[id] = map[chan *news]bool{}
	}
	e.of[id][heard] = true
	if e.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		e.stop = cancel
		go e.listen(ctx, r)
	}
	return heard, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.of[id], heard)
		if len(e.of[id]) == 0 {
			delete(e.of, id)
		}
		if len(e.of) == 0 {
			e.stop()
			e.stop, e.alive = nil, false
		}
	}
}

// hears reports whether messages come.
func (e *ears) hears() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.alive
}

// listen hears messages until ctx ends.
func (e *ears) listen(ctx context.Context, r *Runner) {
	for ctx.Err() == nil {
		err := r.opts.Bell.Listen(ctx, func() { e.set(ctx, true); e.tell(&news{}) }, func(message []byte) {
			var n news
			if json.Unmarshal(message, &n) == nil && isID(n.Run) && n.State.validate() == nil {
				e.tell(&n)
			}
		})
		e.set(ctx, false)
		if ctx.Err() == nil {
			if r.instance.once("listen") {
				r.opts.Logger.WarnContext(ctx, "runs: cannot listen for news of runs; polling the database, and trying again", slog.Any("error", err))
			}
			wait(ctx, r.opts.Poll)
		}
	}
}

func (e *ears) set(ctx context.Context, alive bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() == nil {
		e.alive = alive
	}
}

// tell passes news on. Who has not looked at the ones before gets the latest.
func (e *ears) tell(n *news) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, all := range e.of {
		if id != "" && n.Run != "" && id != n.Run {
			continue
		}
		for heard := range all {
			select {
			case <-heard:
			default:
			}
			heard <- n
		}
	}
}

// wakeOnNews wakes the worker when a run that it may work on is news.
func (r *Runner) wakeOnNews(ctx context.Context) {
	heard, leave := r.instance.ears.join(r, "")
	defer leave()
	for heard != nil {
		select {
		case <-ctx.Done():
			return
		case n := <-heard:
			if n.State == StateRunning && n.Finished() == 0 || n.Run == "" { // it was started
				r.wakeUp()
			}
		}
	}
}

// Finished is the number of tenants in all waves for which nothing more happens.
func (n *news) Finished() (sum int) {
	for _, c := range n.Waves {
		sum += c.Finished()
	}
	return sum
}

// wakeUp lets the worker of this process look for work.
func (r *Runner) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

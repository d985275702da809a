package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

func (a *Admin) liveRoutes() []route {
	return []route{
		{method: "GET", pattern: "live", permission: auth.AnalyticsRead, reach: pageSelf, query: "topics", part: partReports, handle: a.stream},
	}
}

const (
	// liveEvery is the time between two frames.
	liveEvery = time.Second
	// liveWrite is how long a reader may take for a frame.
	liveWrite = 10 * time.Second
	// Streams of an operator with all their tokens, of one token, and of all.
	maxOperatorStreams = 10
	maxTokenStreams    = 5
	maxStreams         = 1000
)

// live has the open streams, and the frame that viewers with the same rights share.
type live struct {
	mu      sync.Mutex // guards what follows
	streams map[string]int
	all     int
	frames  map[string]*frame
}

// frame is what a stream shows of one topic at one time. The first stream that needs it makes it; the others wait.
type frame struct {
	at   time.Time
	done chan struct{}
	data json.RawMessage
	rows *liveRows // in place of data: the stream sends the rows that changed
	err  error
}

// enter counts a stream of the operator, and of their token if a machine asks.
func (l *live) enter(id *auth.Identity) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxStreams || l.streams[id.Operator.ID] >= maxOperatorStreams || id.Token != nil && l.streams[id.Subject()] >= maxTokenStreams {
		return fmt.Errorf("%w: %d streams of the operator with their tokens, %d of who asks, %d in all", tenancy.ErrLimited, l.streams[id.Operator.ID], l.streams[id.Subject()], l.all)
	}
	if l.streams == nil {
		l.streams, l.frames = map[string]int{}, map[string]*frame{}
	}
	for _, of := range holders(id) {
		l.streams[of]++
	}
	l.all++
	return nil
}

// holders returns the keys under which an identity's streams are counted: the operator's, and the token's if a token asks. So making
// tokens does not raise an operator's limit.
func holders(id *auth.Identity) []string {
	if id.Token == nil {
		return []string{id.Operator.ID}
	}
	return []string{id.Operator.ID, id.Subject()}
}

// open returns how many streams there are.
func (l *live) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *live) leave(id *auth.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	for _, of := range holders(id) {
		if l.streams[of]--; l.streams[of] == 0 {
			delete(l.streams, of)
		}
	}
	if l.all == 0 {
		clear(l.frames)
	}
}

// get returns the frame of that key, at most one period old, which look makes for all that wait for it. A frame belongs to no viewer, so
// one that leaves does not spoil it for the others.
func (l *live) get(ctx context.Context, key string, look func(context.Context) (any, error)) (*frame, error) {
	l.mu.Lock()
	f := l.frames[key]
	if f != nil && time.Since(f.at) < liveEvery*9/10 {
		l.mu.Unlock()
		select {
		case <-f.done:
			return f, f.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f = &frame{at: time.Now(), done: make(chan struct{})}
	maps.DeleteFunc(l.frames, func(_ string, old *frame) bool { return f.at.Sub(old.at) > liveWrite }) // nobody looks any more
	l.frames[key] = f
	l.mu.Unlock()
	defer close(f.done)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), liveWrite)
	defer cancel()
	var v any
	if v, f.err = look(bounded); f.err == nil {
		if rows, ok := v.(*liveRows); ok {
			f.rows = rows
		} else {
			f.data, f.err = json.Marshal(v)
		}
	}
	if f.err != nil && !isUnavailable(f.err) { // nobody will ask again
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.frames[key] == f {
			delete(l.frames, key)
		}
	}
	return f, f.err
}

// liveHead is what a frame has beside its data.
type liveHead struct {
	Topic string    `json:"topic"`
	Time  time.Time `json:"time"`
	// Instances counts the processes that the feed knows, and Missing names those that are silent. Set only for operators whose scope is all tenants.
	Instances int      `json:"instances,omitempty"`
	Missing   []string `json:"missing,omitempty"`
	// Problem is the name of a problem, in place of data.
	Problem string `json:"problem,omitempty"`
}

// stream sends a frame of each topic each second, as server-sent events. It looks at session, role, scope and rules about addresses before
// each frame, and ends when they do not allow it any more. A reader who is slow gets the newest frame when they are ready, and none in
// between. The first frame has everything, so a reader who comes back needs no Last-Event-ID.
func (a *Admin) stream(c *call) error {
	topics, err := a.topicsOf(c)
	if err != nil {
		return err
	}
	asks := c.id
	if err := a.live.enter(asks); err != nil {
		return err
	}
	defer a.live.leave(asks)
	out := http.NewResponseController(c.w)
	sent := map[string]sentRows{}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for started := false; ; started = true {
		events := make([][]byte, len(topics))
		for i, t := range topics {
			f, err := a.live.get(c.ctx(), viewerKey(c.id)+"\n"+t.key, func(ctx context.Context) (any, error) { return t.look(ctx, c.id) })
			switch {
			case c.ctx().Err() != nil:
				return nil
			case err != nil && !started:
				return err
			case err != nil:
				f = &frame{at: time.Now(), err: err}
			}
			if events[i], err = a.event(c, t, f, sent); err != nil {
				return err
			}
		}
		if !started {
			h := c.w.Header()
			h.Set("Content-Type", "text/event-stream")
			h.Set("X-Accel-Buffering", "no")
			c.w.WriteHeader(http.StatusOK)
		}
		setWriteDeadline(out, liveWrite)
		for _, e := range events {
			if _, err := c.w.Write(e); err != nil {
				return nil
			}
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		setWriteDeadline(out, 0)
		select {
		case <-c.ctx().Done():
			return nil
		case <-tick.C:
		}
		again := &call{admin: a, row: c.row, w: c.w, r: c.r}
		next, err := a.admitStream(again)
		switch {
		case isUnavailable(err): // a database that does not answer ends no stream
		case err != nil:
			setWriteDeadline(out, liveWrite)
			_, _ = fmt.Fprint(c.w, "event: end\ndata: {}\n\n")
			_ = out.Flush()
			return nil
		default:
			c.id, topics = again.id, next
		}
	}
}

// event returns the text of a topic's event. sent is what the stream has shown of topics that have rows.
func (a *Admin) event(c *call, t topic, f *frame, sent map[string]sentRows) ([]byte, error) {
	head := liveHead{Topic: t.name, Time: f.at.UTC()}
	if c.id.Scope.IsAll() {
		for _, i := range a.opts.Reports.Instances() {
			head.Instances++
			if i.Missing {
				head.Missing = append(head.Missing, i.Name)
			}
		}
	}
	data := f.data
	var err error
	switch {
	case f.err != nil: // the stream stays open, without figures
		head.Problem = problemName(c.r, f.err)
	case f.rows != nil:
		if sent[t.name] == nil {
			sent[t.name] = sentRows{}
		}
		data, err = sent[t.name].changes(f.rows)
	}
	text, err2 := json.Marshal(head)
	if err := cmp.Or(err, err2); err != nil {
		return nil, err
	}
	if data != nil { // shared by all viewers, and not encoded again for each
		text = slices.Concat(text[:len(text)-1], []byte(`,"data":`), data, []byte("}"))
	}
	return fmt.Appendf(nil, "event: %s\nid: %d\ndata: %s\n\n", t.event, f.at.UnixMilli(), text), nil
}

// admitStream is admit without counting a request. It returns the topics as they are now. The cookie counts, and not its session: after a step-up
// a stream that somebody opened with the old one ends, and the page opens another.
func (a *Admin) admitStream(c *call) ([]topic, error) {
	if err := a.identify(c); err != nil {
		return nil, err
	}
	if !c.id.Permissions.Has(c.row.permission) {
		return nil, tenancy.ErrForbidden
	}
	return a.topicsOf(c)
}

// viewerKey is the same for those who see the same.
func viewerKey(id *auth.Identity) string {
	return fmt.Sprintf("%s %d", id.Scope, id.Permissions)
}

package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

func (a *Admin) liveRoutes() []route {
	return []route{
		{method: "GET", pattern: "live", permission: auth.AnalyticsRead, reach: pageSelf, part: partReports, handle: a.stream},
	}
}

const (
	// liveEvery is the time between two frames.
	liveEvery = time.Second
	// liveWrite is how long a reader may take for a frame.
	liveWrite = 10 * time.Second
	// Streams of an operator, and of all.
	maxOperatorStreams = 10
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
	data []byte
	err  error
}

// enter counts a stream of the operator.
func (l *live) enter(operator string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxStreams || l.streams[operator] >= maxOperatorStreams {
		return fmt.Errorf("%w: %d streams of the operator, %d in all", tenancy.ErrLimited, l.streams[operator], l.all)
	}
	if l.streams == nil {
		l.streams, l.frames = map[string]int{}, map[string]*frame{}
	}
	l.streams[operator]++
	l.all++
	return nil
}

// open returns how many streams there are.
func (l *live) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *live) leave(operator string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.streams[operator]--; l.streams[operator] == 0 {
		delete(l.streams, operator)
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
		f.data, f.err = json.Marshal(v)
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

// liveFrame is the data of an event.
type liveFrame struct {
	Topic string    `json:"topic"`
	Time  time.Time `json:"time"`
	Data  any       `json:"data"`
}

// stream sends a frame of each topic each second, as server-sent events. It looks at session, role and scope before each frame, and ends
// when they do not allow it any more. A reader who is slow gets the newest frame when they are ready, and none in between.
func (a *Admin) stream(c *call) error {
	if err := c.onlyQuery("topics"); err != nil {
		return err
	}
	topics, err := a.topicsOf(c.r)
	if err != nil {
		return err
	}
	for _, t := range topics {
		if !c.id.Permissions.Has(t.permission) {
			return fmt.Errorf("%w: topic %.80q", tenancy.ErrForbidden, t.name)
		}
	}
	operator := c.id.Subject()
	if err := a.live.enter(operator); err != nil {
		return err
	}
	defer a.live.leave(operator)
	out := http.NewResponseController(c.w)
	started := false
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for id := c.id; ; {
		for _, topic := range topics {
			f, err := a.live.get(c.ctx(), topic.name+" "+viewerKey(id), func(ctx context.Context) (any, error) {
				data, err := topic.look(ctx, id)
				return liveFrame{topic.name, time.Now().UTC(), data}, err
			})
			if err != nil && !started {
				return err
			}
			if !started {
				h := c.w.Header()
				h.Set("Content-Type", "text/event-stream")
				h.Set("X-Accel-Buffering", "no")
				c.w.WriteHeader(http.StatusOK)
				started = true
			}
			if err != nil { // the database does not answer: the stream stays open, without a figure
				data, _ := json.Marshal(map[string]string{"topic": topic.name, "problem": "unavailable"})
				f = &frame{at: time.Now(), data: data}
			}
			_ = out.SetWriteDeadline(time.Now().Add(liveWrite)) // a writer without deadlines is the application's
			if _, err := fmt.Fprintf(c.w, "event: %s\nid: %d\ndata: %s\n\n", topic.event, f.at.UnixMilli(), f.data); err != nil {
				return nil
			}
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		select {
		case <-c.ctx().Done():
			return nil
		case <-tick.C:
		}
		again := &call{admin: a, row: c.row, w: c.w, r: c.r}
		if err := a.admitStream(again, topics); err != nil {
			_, _ = fmt.Fprint(c.w, "event: end\ndata: {}\n\n")
			_ = out.Flush()
			return nil
		}
		if again.id != nil {
			id = again.id
		}
	}
}

// admitStream is admit without counting a request. A database that does not answer ends no stream.
func (a *Admin) admitStream(c *call, topics []topic) error {
	id, err := a.auth.Identify(c.r)
	if isUnavailable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c.id = id
	if id.Session.Stage != auth.StageFull || !id.Permissions.Has(c.row.permission) {
		return tenancy.ErrForbidden
	}
	for _, t := range topics {
		if !id.Permissions.Has(t.permission) {
			return tenancy.ErrForbidden
		}
	}
	return nil
}

// viewerKey is the same for those who see the same.
func viewerKey(id *auth.Identity) string {
	return fmt.Sprintf("%s %d", id.Scope, id.Permissions)
}

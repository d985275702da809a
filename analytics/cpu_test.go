package analytics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// ticking is a recorder whose process's time the test says.
type ticking struct {
	t   *testing.T
	rec *Recorder
}

func newTicking(t *testing.T) *ticking {
	store, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := NewRecorder(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec.cpu = 0
	return &ticking{t, rec}
}

func (k *ticking) ctx(id tenancy.ID) context.Context {
	return tenancy.NewContext(k.t.Context(), &tenancy.Tenant{ID: id, Version: 1})
}

// tick lets the process have used that much more.
func (k *ticking) tick(more time.Duration) { k.rec.tick(k.rec.cpu+more, time.Now()) }

// want compares what a tenant got, in all, give or take a microsecond.
func (k *ticking) want(what string, id tenancy.ID, want time.Duration) {
	k.t.Helper()
	var got int64
	k.rec.in(id, func(c *cell) bool {
		for _, n := range c.tallies {
			got += n.values[CPUTime]
		}
		return true
	})
	if d := got - want.Microseconds(); d < -1 || d > 1 {
		k.t.Errorf("%s: %s got %v, want %v", what, id, time.Duration(got)*time.Microsecond, want)
	}
}

func (k *ticking) do(id tenancy.ID, fn func(context.Context)) {
	_ = k.rec.Do(k.ctx(id), func(ctx context.Context) error { fn(ctx); return nil })
}

func TestTick(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*ticking){
		"the rest is nobody's": func(k *ticking) {
			k.do("acme", func(context.Context) { time.Sleep(2 * time.Second) })
			k.tick(5 * time.Second)
			k.want("all", "acme", 2*time.Second)
			k.want("all", Unattributed, 3*time.Second)
		},
		"more than the process used": func(k *ticking) {
			k.do("acme", func(context.Context) { time.Sleep(6 * time.Second) })
			k.do("globex", func(context.Context) { time.Sleep(2 * time.Second) })
			k.tick(4 * time.Second)
			k.want("half", "acme", 3*time.Second)
			k.want("half", "globex", time.Second)
			k.want("half", Unattributed, 0)
		},
		"waits that are known": func(k *ticking) {
			k.do("acme", func(ctx context.Context) {
				time.Sleep(10 * time.Second)
				k.rec.ObserveWait(ctx, "acme", time.Second, nil)
				k.rec.ObserveStatement(ctx, "acme", 2*time.Second, false, nil)
				k.rec.ObserveStatement(ctx, "acme", time.Second, true, nil) // is work
				done := Waiting(ctx)
				time.Sleep(time.Minute)
				done()
			})
			k.tick(time.Hour)
			k.want("10 s less 3", "acme", 7*time.Second)
		},
		"a job within a job": func(k *ticking) {
			k.do("acme", func(ctx context.Context) {
				time.Sleep(time.Second)
				_ = k.rec.Do(tenancy.NewContext(ctx, &tenancy.Tenant{ID: "globex"}), func(context.Context) error { time.Sleep(2 * time.Second); return nil })
			})
			k.tick(time.Hour)
			k.want("outside", "acme", time.Second)
			k.want("within", "globex", 2*time.Second)
		},
		"in progress": func(k *ticking) {
			k.do("acme", func(context.Context) {
				time.Sleep(10 * time.Second)
				k.tick(10 * time.Second)
				k.want("so far", "acme", 10*time.Second)
				time.Sleep(5 * time.Second)
			})
			k.tick(10 * time.Second)
			k.want("at the end", "acme", 15*time.Second)
			k.want("at the end", Unattributed, 5*time.Second)
		},
		"a wait longer than a tick": func(k *ticking) {
			k.do("acme", func(ctx context.Context) {
				time.Sleep(20 * time.Second)
				k.tick(10 * time.Second) // it got half of what it seemed to be busy
				k.rec.ObserveStatement(ctx, "acme", 20*time.Second, false, nil)
			})
			k.do("acme", func(context.Context) { time.Sleep(12 * time.Second) })
			k.tick(time.Minute)
			k.want("12 s, of which 10 were there", "acme", 12*time.Second)
		},
		"an unknown process": func(k *ticking) {
			k.do("acme", func(context.Context) { time.Sleep(time.Second) })
			k.tick(0)
			k.want("nothing", "acme", 0)
		},
		"requests": func(k *ticking) {
			h := k.rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				time.Sleep(time.Second)
				Waiting(r.Context())()
				k.rec.ObserveWait(r.Context(), "acme", 250*time.Millisecond, nil)
				_, _ = io.WriteString(w, "hello")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Hour) // a stream's
			}))
			h.ServeHTTP(slowWriter{httptest.NewRecorder()}, httptest.NewRequestWithContext(k.ctx("acme"), "POST", "/", slowReader{}))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(k.t.Context(), "POST", "/", nil))
			k.tick(time.Minute)
			k.want("1 s less 250 ms", "acme", 750*time.Millisecond)
			k.want("without a tenant", Application, 0)
			k.want("without a tenant", Unattributed, 59250*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(newTicking(t)) })
		})
	}
}

// slowWriter and slowReader are a client that takes its time.
type slowWriter struct{ *httptest.ResponseRecorder }

func (w slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Minute)
	return w.ResponseRecorder.Write(p)
}

func (w slowWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

type slowReader struct{}

func (slowReader) Read([]byte) (int, error) {
	time.Sleep(time.Minute)
	return 0, io.EOF
}

package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/drainredis"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// hold lets a request into the guard, and returns what lets it go.
func (k *rig) hold(r *http.Request) (release func()) {
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h := k.gate.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(in)
		<-out
	}))
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-in
	return func() {
		close(out)
		<-done
	}
}

// drain begins a drain, and returns whether it has ended and with what.
func drain(ctx context.Context, s maintenance.Scope) (ended func() bool, err *error) {
	var done atomic.Bool
	err = new(error)
	go func() {
		*err = s.Drain(ctx)
		done.Store(true)
	}()
	return done.Load, err
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Settle: time.Second})
		acme := k.gate.Tenant(k.acme)
		before := k.request(t, k.acme, "GET", "/")
		one, two := k.hold(before), k.hold(before)
		other := k.hold(k.request(t, "globex-1", "GET", "/"))
		if err := acme.Drain(t.Context()); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("no maintenance: got %v, want ErrInvalid", err)
		}
		k.begin(t, tenancy.Maintenance{Paths: []string{"/health"}})
		wantServed(t, "a record from before", k.serve(before), true)
		allowed := k.hold(k.request(t, k.acme, "GET", "/health"))
		ended, err := drain(t.Context(), acme)
		time.Sleep(time.Minute)
		if ended() || acme.InFlight() != 2 {
			t.Errorf("got ended %v with %d in flight, want it to wait for 2", ended(), acme.InFlight())
		}
		wantServed(t, "a record from before, once draining", k.serve(before), false)
		one()
		time.Sleep(time.Second)
		if ended() {
			t.Error("got ended with one in flight")
		}
		two()
		time.Sleep(time.Second)
		if !ended() || *err != nil {
			t.Errorf("got ended %v, %v, want it done: the other tenant's and what is allowed do not count", ended(), *err)
		}
		allowed()

		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := acme.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		late := k.hold(k.request(t, k.acme, "GET", "/"))
		k.begin(t, tenancy.Maintenance{})
		var e *maintenance.DrainError
		began := time.Now()
		if err := acme.Drain(short); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.InFlight != 1 || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want one in flight after a minute", err, time.Since(began))
		}
		late()
		if err := acme.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantServed(t, "ended", k.get(t, k.acme, "/"), true)
		other()
	})
}

// Without a way to ask other instances, a drain waits as long as they may need.
func TestDrainSettles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{})
		k.begin(t, tenancy.Maintenance{})
		began := time.Now()
		if err := k.gate.Tenant(k.acme).Drain(t.Context()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v, want nil after a minute", err, time.Since(began))
		}
	})
}

// What reads only is not waited for while maintenance is read-only.
func TestDrainReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Settle: time.Second})
		release := k.hold(k.request(t, k.acme, "GET", "/"))
		k.begin(t, tenancy.Maintenance{Mode: tenancy.MaintenanceReadOnly})
		reader := k.hold(k.request(t, k.acme, "GET", "/"))
		ended, err := drain(t.Context(), k.gate.Tenant(k.acme))
		time.Sleep(time.Minute)
		if ended() {
			t.Error("got ended, with one in flight that may write")
		}
		release()
		time.Sleep(time.Minute)
		if !ended() || *err != nil {
			t.Errorf("got ended %v, %v, with a reader in flight", ended(), *err)
		}
		reader()
	})
}

// What one maintenance let pass is waited for under the next one; what this one let
// pass is not, whatever its secret and its end are by now.
func TestDrainAfterAnotherMaintenance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Settle: time.Second, Key: key})
		acme := k.gate.Tenant(k.acme)
		drains := func(what string, release func()) {
			t.Helper()
			ended, err := drain(t.Context(), acme)
			time.Sleep(time.Minute)
			if waits := release != nil; ended() == waits {
				t.Errorf("%s: got ended %v, want it to wait: %v", what, ended(), waits)
			}
			if release != nil {
				release()
			}
			time.Sleep(time.Minute)
			if !ended() || *err != nil {
				t.Errorf("%s: got ended %v, %v, want it done", what, ended(), *err)
			}
		}
		k.begin(t, tenancy.Maintenance{Mode: tenancy.MaintenanceReadOnly})
		reader := k.hold(k.request(t, k.acme, "GET", "/"))
		k.begin(t, tenancy.Maintenance{Paths: []string{"/health"}}) // at the same time, and it is closed
		drains("a reader of before", reader)

		allowed := k.hold(k.request(t, k.acme, "GET", "/health"))
		r := k.request(t, k.acme, "GET", "/")
		r.AddCookie(k.bypass(t, k.acme, k.newBypass(t, k.acme)))
		r = r.WithContext(tenancy.NewContext(r.Context(), k.tenant(t, k.acme)))
		by := k.hold(r)
		drains("what is allowed, and who has a bypass", nil)
		if err := acme.Extend(t.Context(), time.Now().Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		drains("extended", nil)
		k.newBypass(t, k.acme)
		drains("a bypass of before", by)
		allowed()
	})
}

// Who asks for a bypass by a form that does not come keeps no drain waiting; nor does a
// drain let anybody in who comes with one later.
func TestDrainOfASlowForm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Settle: time.Second})
		k.begin(t, tenancy.Maintenance{Windows: []tenancy.Window{{Start: time.Now().Add(time.Hour)}}})
		before := k.request(t, k.acme, "POST", "/.maintenance/bypass")
		k.begin(t, tenancy.Maintenance{})
		for _, ctx := range []context.Context{before.Context(), k.request(t, k.acme, "POST", "/").Context()} {
			form, client := io.Pipe()
			r := httptest.NewRequest("POST", "/.maintenance/bypass", form).WithContext(ctx)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer := make(chan *httptest.ResponseRecorder)
			go func() { answer <- k.serve(r) }()
			synctest.Wait()
			short, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := k.gate.Tenant(k.acme).Drain(short); err != nil {
				t.Errorf("got %v, want it done", err)
			}
			cancel()
			_ = client.Close()
			wantServed(t, "the form", <-answer, false)
		}
	})
}

// Nobody waits for the answers of who is refused, be it by a drain.
func TestDrainOfThoseWhoAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		more := make(chan struct{})
		k := newRig(t, maintenance.GateOptions{Settle: time.Second, Refuse: func(http.ResponseWriter, *http.Request, error) { <-more }})
		before := k.request(t, k.acme, "GET", "/")
		k.begin(t, tenancy.Maintenance{})
		defer close(more)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, r := range []*http.Request{nil, before, k.request(t, k.acme, "GET", "/")} {
			if r != nil {
				go k.serve(r)
				synctest.Wait()
			}
			if err := k.gate.Tenant(k.acme).Drain(short); err != nil {
				t.Errorf("got %v, want it done", err)
			}
		}
	})
}

// fleet is instances of a service over one catalog.
func fleet(t *testing.T, n int, shared maintenance.DrainChannel, poll time.Duration) []*rig {
	t.Helper()
	all := make([]*rig, n)
	for i := range all {
		all[i] = newRig(t, maintenance.GateOptions{Drains: shared, Poll: poll})
		if i > 0 {
			all[i] = &rig{cat: all[0].cat, acme: all[0].acme}
			gate, err := maintenance.NewGate(all[0].cat, &maintenance.GateOptions{Drains: shared, Poll: poll, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			all[i].gate = gate
			all[i].guard = gate.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("served")) }))
		}
	}
	return all
}

func testDrainOfInstances(t *testing.T, shared maintenance.DrainChannel, pause func(time.Duration)) {
	all := fleet(t, 3, shared, 0)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, k := range all {
		running.Go(func() { _ = k.gate.Run(ctx) })
	}
	defer running.Wait()
	defer stop()
	eventually := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Minute); !holds(); pause(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("never " + what)
			}
		}
	}
	eventually("do they know each other", func() bool {
		there, _, err := shared.Status(ctx, maintenance.Drain{})
		return err == nil && len(there) == len(all)
	})
	before := all[2].request(t, all[2].acme, "GET", "/")
	release := all[2].hold(before)
	all[0].begin(t, tenancy.Maintenance{})
	wantServed(t, "an old record on another instance", all[1].serve(before), true)
	ended, err := drain(t.Context(), all[0].gate.Tenant(all[0].acme))
	pause(3 * time.Second)
	if ended() {
		t.Error("got ended, with one in flight on another instance")
	}
	for i, k := range all {
		eventually(fmt.Sprintf("does instance %d refuse an old record", i), func() bool {
			return k.serve(before).Code == http.StatusServiceUnavailable
		})
	}
	eventually("is one instance missing", func() bool {
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var e *maintenance.DrainError
		err := all[1].gate.Tenant(all[1].acme).Drain(short)
		return errors.As(err, &e) && len(e.Missing) == 1 && e.InFlight == 0
	})
	release()
	eventually("is it done", ended)
	if *err != nil {
		t.Error(*err)
	}
}

func TestDrainOfInstances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		testDrainOfInstances(t, new(maintenance.MemoryDrains), func(d time.Duration) { time.Sleep(d) })
	})
}

// toldChannel answer what they are told, to a drain of a gate that beats there.
type toldChannel struct {
	there, done func(since time.Duration) []string
	err         func(since time.Duration) error
	asked       time.Time
}

func (r *toldChannel) Heartbeat(context.Context, string) ([]maintenance.Drain, error) {
	return nil, nil
}

func (r *toldChannel) Request(context.Context, maintenance.Drain) error {
	if r.asked.IsZero() {
		r.asked = time.Now()
	}
	return nil
}

func (r *toldChannel) Done(context.Context, maintenance.Drain, string) error { return nil }

func (r *toldChannel) Status(context.Context, maintenance.Drain) (there, done []string, err error) {
	since := time.Since(r.asked)
	if r.err != nil {
		err = r.err(since)
	}
	return r.there(since), r.done(since), err
}

// A drain ends when all that are there have said so for some beats, however Redis fails
// and forgets meanwhile.
func TestDrainIsSure(t *testing.T) {
	t.Parallel()
	const s = time.Second
	// during returns names from a time on, until another.
	during := func(from, to time.Duration, names ...string) func(time.Duration) []string {
		return func(since time.Duration) []string {
			if since < from || since >= to {
				return nil
			}
			return names
		}
	}
	for name, tt := range map[string]struct {
		channel toldChannel
		want    time.Duration
	}{
		"alone":                {toldChannel{there: during(0, 0), done: during(0, 0)}, s},
		"done at once":         {toldChannel{there: during(0, 1<<60, "b"), done: during(0, 1<<60, "b")}, s},
		"done later":           {toldChannel{there: during(0, 1<<60, "b", "c"), done: during(5*s, 1<<60, "b", "c")}, 6 * s},
		"there a moment later": {toldChannel{there: during(s, 1<<60, "b"), done: during(5*s, 1<<60, "b")}, 6 * s},
		"gone":                 {toldChannel{there: during(0, 5*s, "b"), done: during(0, 0)}, 4500*time.Millisecond + 11*s},
		"done is forgotten":    {toldChannel{there: during(0, 1<<60, "b"), done: during(0, 500*time.Millisecond, "b")}, s},
		"all is lost, and told": {toldChannel{there: func(since time.Duration) []string {
			return append(during(0, 2*s, "b")(since), during(8*s, 1<<60, "b")(since)...)
		}, done: during(20*s, 1<<60, "b")}, 21 * s},
		"Redis fails again and again": {toldChannel{there: during(0, 0), done: during(0, 0), err: func(since time.Duration) error {
			if since < 10*s && since%s == 0 {
				return errors.New("down")
			}
			return nil
		}}, 10*s + 500*time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newRig(t, maintenance.GateOptions{Drains: &tt.channel})
			k.begin(t, tenancy.Maintenance{})
			began := time.Now()
			if err := k.gate.Tenant(k.acme).Drain(t.Context()); err != nil || time.Since(began) != tt.want {
				t.Errorf("%s: got %v after %v, want nil after %v", name, err, time.Since(began), tt.want)
			}
		})
	}
}

// lossyChannel lose the first words of who has done a drain, and count the others.
type lossyChannel struct {
	maintenance.MemoryDrains
	lost  int
	acked atomic.Int64
}

func (r *lossyChannel) Done(ctx context.Context, d maintenance.Drain, instance string) error {
	if r.acked.Add(1) <= int64(r.lost) {
		return errors.New("lost")
	}
	return r.MemoryDrains.Done(ctx, d, instance)
}

// What was lost is said again, and a drain that nobody asks for any more is let go.
func TestDrainIsToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &lossyChannel{lost: 10}
		all := fleet(t, 2, shared, 0)
		for _, k := range all {
			run(t, k.gate)
		}
		time.Sleep(time.Second)
		all[0].begin(t, tenancy.Maintenance{})
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := all[0].gate.Tenant(all[0].acme).Drain(short); err != nil {
			t.Errorf("lost at first: got %v", err)
		}
		time.Sleep(time.Minute)
		if err := all[0].gate.Tenant(all[0].acme).End(t.Context()); err != nil {
			t.Fatal(err)
		}
		release := all[1].hold(all[1].request(t, all[1].acme, "GET", "/"))
		all[0].begin(t, tenancy.Maintenance{})
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := all[0].gate.Tenant(all[0].acme).Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one in flight: got %v", err)
		}
		time.Sleep(time.Minute)
		before := shared.acked.Load()
		release()
		time.Sleep(time.Minute)
		if n := shared.acked.Load() - before; n != 0 {
			t.Errorf("got a drain told %d times that nobody asks for any more", n)
		}
	})
}

// Instances that look at the service's record seldom hear of each other all the same.
func TestDrainOfInstancesThatLookSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := fleet(t, 2, new(maintenance.MemoryDrains), time.Minute)
		for _, k := range all {
			run(t, k.gate)
			time.Sleep(31 * time.Second) // they do not look at the same time
		}
		release := all[1].hold(all[1].request(t, all[1].acme, "GET", "/"))
		all[0].begin(t, tenancy.Maintenance{})
		ended, err := drain(t.Context(), all[0].gate.Tenant(all[0].acme))
		time.Sleep(10 * time.Minute)
		if ended() {
			t.Errorf("got ended, %v, with one in flight on the other instance", *err)
		}
		release()
		time.Sleep(10 * time.Minute)
		if !ended() || *err != nil {
			t.Errorf("got ended %v, %v, want it done", ended(), *err)
		}
	})
}

func TestDrainOfInstancesInRedis(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	shared, err := drainredis.New(client, ns)
	if err != nil {
		t.Fatal(err)
	}
	testDrainOfInstances(t, shared, func(d time.Duration) { time.Sleep(d) })
}

// deadChannel answer nothing.
type deadChannel struct{ maintenance.DrainChannel }

func (deadChannel) Heartbeat(context.Context, string) ([]maintenance.Drain, error) {
	return nil, errors.New("down")
}
func (deadChannel) Request(context.Context, maintenance.Drain) error { return errors.New("down") }

// Nothing is drained as long as nobody can be asked.
func TestDrainFailsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newRig(t, maintenance.GateOptions{Drains: deadChannel{}})
		k.begin(t, tenancy.Maintenance{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := k.gate.Tenant(k.acme).Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want it to wait in vain", err)
		}
	})
}

func TestDrainOfTheService(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	shared := new(maintenance.MemoryDrains)
	opts := maintenance.GateOptions{DB: db, Drains: shared, Poll: 20 * time.Millisecond}
	a, b := newRig(t, opts), newRig(t, opts)
	if err := a.gate.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, a.gate)
	run(t, b.gate)
	for _, k := range []*rig{a, b} {
		await(t, "a first look", time.Minute, func() bool { return k.served(t, k.acme) })
	}
	b.begin(t, tenancy.Maintenance{Paths: []string{"/health"}})
	ofAllowed := b.hold(b.request(t, b.acme, "GET", "/health"))
	if n := b.gate.Tenant(b.acme).InFlight(); n != 0 {
		t.Errorf("got %d in flight that the tenant's maintenance does not allow, want none", n)
	}
	if err := b.gate.Tenant(b.acme).End(t.Context()); err != nil {
		t.Fatal(err)
	}
	ofTenant, ofNobody := b.hold(b.request(t, b.acme, "GET", "/")), a.hold(a.request(t, "", "GET", "/"))
	if err := a.gate.Service().Begin(t.Context(), tenancy.Maintenance{Paths: []string{"/metrics"}}); err != nil {
		t.Fatal(err)
	}
	await(t, "maintenance there", time.Minute, func() bool { return !b.served(t, b.acme) })
	defer b.hold(b.request(t, "globex-1", "GET", "/metrics"))()
	if n := b.gate.Service().InFlight(); n != 2 {
		t.Errorf("got %d in flight, want 2: what the service's maintenance allows does not count", n)
	}
	ended, err := drain(t.Context(), a.gate.Service())
	for _, release := range []func(){ofTenant, ofNobody, ofAllowed} {
		time.Sleep(200 * time.Millisecond) // nothing happens
		if ended() {
			t.Fatal("got ended with one in flight")
		}
		release()
	}
	await(t, "the drain", time.Minute, ended)
	if *err != nil {
		t.Error(*err)
	}
}

// Two instances, each with a cache, over one Redis: the guard of one refuses soon
// after the other began maintenance.
func TestSeenThroughCaches(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	store := tenancytest.NewStore()
	type instance struct {
		cat   *catalog.Catalog
		cache *cache.Cache
		gate  *maintenance.Gate
	}
	var all [2]instance
	for i := range all {
		cat, err := catalog.NewWithStore(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		cache, err := cache.NewRedis(cat, client, ns, &cache.Options{TTL: time.Hour, MaxAgeUnsynced: time.Hour, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cache.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := errors.Join(<-done, cache.Close()); err != nil {
				t.Error(err)
			}
		})
		gate, err := maintenance.NewGate(cat, &maintenance.GateOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		all[i] = instance{cat, cache, gate}
	}
	for _, r := range all {
		await(t, "hearing of changes", time.Minute, func() bool { return !r.cache.Stat().Unsynced })
	}
	acme, err := all[0].cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: tenancy.StatusActive})
	if err != nil {
		t.Fatal(err)
	}
	served := func(r instance) bool {
		found, err := r.cache.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/", nil)
		r.gate.Guard(http.NotFoundHandler()).ServeHTTP(w, req.WithContext(tenancy.NewContext(t.Context(), found)))
		return w.Code == http.StatusNotFound
	}
	var worst time.Duration
	for range 20 {
		for _, open := range []bool{false, true} {
			if served(all[1]) == open {
				t.Fatal("got it in another state before the change")
			}
			begin := func() error { return all[0].gate.Tenant(acme.ID).Begin(t.Context(), tenancy.Maintenance{}) }
			if open {
				begin = func() error { return all[0].gate.Tenant(acme.ID).End(t.Context()) }
			}
			if err := begin(); err != nil {
				t.Fatal(err)
			}
			if served(all[0]) != open {
				t.Error("the instance that made the change does not see it")
			}
			worst = max(worst, await(t, "the change there", time.Minute, func() bool { return served(all[1]) == open }))
		}
	}
	t.Logf("40 changes were seen within %v", worst)
}

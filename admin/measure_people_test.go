package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// measureSignIn compares sign-ins of accounts that exist with those that do not, and looks at memory, at other requests, and at a browser that is known, while
// many are wrong. Nothing but the queue for passwords limits them.
func measureSignIn(t *testing.T) {
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) { o.Auth.Limiter, o.Auth.PasswordWait = everything{}, 0 })
	viewer := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	if _, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "known@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants(), Password: password}); err != nil {
		t.Fatal(err)
	}
	sign := func(cl *client, email, password string) (answer, time.Duration) {
		began := time.Now()
		a := cl.do(t, "POST", "auth/sign-in", `{"email":"`+email+`","password":"`+password+`"}`)
		return a, time.Since(began)
	}
	const times = 500
	took := map[string][]time.Duration{}
	for range times {
		emails := []string{"known@example.com", "unknown@example.com"}
		if rand.IntN(2) == 0 { // a collection of garbage may be due at each second one
			slices.Reverse(emails)
		}
		for _, email := range emails {
			a, d := sign(c.plain(), email, "not the password, no")
			if a.code != http.StatusUnauthorized {
				t.Errorf("got %d %s", a.code, a.body)
			}
			took[email] = append(took[email], d)
		}
	}
	known, unknown := share(took["known@example.com"], 50), share(took["unknown@example.com"], 50)
	fmt.Printf("\nwrong password, medians of %d: known account %v, unknown %v, a difference of %.1f %% (goal: 5 %%)\n", times, known, unknown, 100*(float64(known)/float64(unknown)-1))

	browser := c.plain()
	if a, _ := sign(browser, "known@example.com", password); a.code != http.StatusOK {
		t.Fatalf("got %d %s", a.code, a.body)
	}
	idle := c.requests(t, viewer, 3*time.Second, nil)
	peak := peakHeap()
	var mu sync.Mutex
	var all sync.WaitGroup
	codes := map[int]int{}
	var own []time.Duration
	during := c.requests(t, viewer, 10*time.Second, func(n int) {
		all.Go(func() {
			a, _ := sign(c.plain(), "known@example.com", "not the password, no")
			mu.Lock()
			codes[a.code]++
			mu.Unlock()
		})
		if n%100 != 99 {
			return
		}
		all.Go(func() { // one's own browser
			a, d := sign(browser.clone(), "known@example.com", password)
			if a.code != http.StatusOK {
				t.Errorf("the known browser: got %d %s", a.code, a.body)
			}
			mu.Lock()
			own = append(own, d)
			mu.Unlock()
		})
	})
	all.Wait()
	fmt.Printf("50 wrong sign-ins a second for 10 s, answered %s: heap in use at most %d MiB more (goal: 80); GET tenants p50 %v, p99 %v (goal: 50 ms; idle: %v, %v); a known browser is in within %v (goal: 1 s)\n",
		sorted(codes), peak()>>20, share(during, 50), share(during, 99), share(idle, 50), share(idle, 99), share(own, 100))
}

// plain returns a browser whose requests and answers are not compared with the document, which takes time.
func (c *console) plain() *client {
	cl := c.client()
	cl.undocumented = true
	return cl
}

// clone returns a browser with the same cookies.
func (cl *client) clone() *client {
	out := *cl
	out.cookies = map[string]string{}
	for name, value := range cl.cookies {
		out.cookies[name] = value
	}
	return &out
}

// requests sends 50 requests a second, calls beside with the number of each, and returns how long their answers took.
func (c *console) requests(t *testing.T, cl *client, lasts time.Duration, beside func(n int)) (took []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	began, tick := time.Now(), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for n := 0; time.Since(began) < lasts; n++ {
		if beside != nil {
			beside(n)
		}
		all.Go(func() {
			began := time.Now()
			a := cl.quiet(t, "tenants")
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
			if a.code != http.StatusOK {
				t.Errorf("got %d %s", a.code, a.body)
			}
		})
		<-tick.C
	}
	all.Wait()
	return took
}

// measureViewers opens 200 streams that are read and 20 that are not, and says how old frames are when they arrive, and what they cost, beside 200 clients that
// poll. Processor and memory are those of the console and of the viewers together.
func measureViewers(t *testing.T) {
	const viewers, silent, lasts = 200, 20, 15 * time.Second
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	c.keep(t)
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	defer server.CloseClientConnections()
	var operators []*client
	for range (viewers + silent + 9) / 10 {
		operators = append(operators, c.as(t, auth.RoleViewer, tenancy.AllTenants()))
	}

	var mu sync.Mutex
	var polled, took, other []time.Duration
	var all sync.WaitGroup
	began, used := time.Now(), processorTime(t)
	for i := range viewers {
		all.Go(func() {
			for time.Since(began) < lasts {
				asked := time.Now()
				if err := operators[i/10].overHTTP(t, server, "analytics/overview"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				polled = append(polled, time.Since(asked))
				mu.Unlock()
				time.Sleep(max(0, time.Second-time.Since(asked)))
			}
		})
	}
	all.Wait()
	fmt.Printf("\nbaseline, %d clients that poll each second for %v: an answer after p50 %v, p99 %v; %.1f %% of a core\n", viewers, lasts, share(polled, 50), share(polled, 99), 100*(processorTime(t)-used).Seconds()/time.Since(began).Seconds())

	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, used = time.Now(), processorTime(t)
	for i := range viewers + silent {
		s := operators[i/10].stream(t, server, "overview")
		if s.code != 200 {
			t.Fatalf("got %d", s.code)
		}
		if i >= viewers {
			continue // it is never read
		}
		all.Go(func() {
			for time.Since(began) < lasts && s.Scan() {
				text, isData := strings.CutPrefix(s.Text(), "data: ")
				var f struct{ Time time.Time }
				if !isData || json.Unmarshal([]byte(text), &f) != nil {
					continue
				}
				mu.Lock()
				took = append(took, time.Since(f.Time))
				mu.Unlock()
			}
			if time.Since(began) < lasts {
				t.Errorf("a stream ended: %v", s.Err())
			}
		})
	}
	for time.Since(began) < lasts {
		asked := time.Now()
		if err := operators[0].overHTTP(t, server, "tenants"); err != nil {
			t.Error(err)
		}
		other = append(other, time.Since(asked))
		time.Sleep(100 * time.Millisecond)
	}
	all.Wait()
	spent := processorTime(t) - used
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Printf("%d viewers and %d that do not read, for %v: from the frame to the client p50 %v, p99 %v of %d (goal: p99 < 100 ms); %.1f %% of a core (goal: 5 %%), %d KiB of heap for each (goal: 32), viewer and console together; GET tenants beside them p50 %v, p99 %v\n",
		viewers, silent, lasts, share(took, 50), share(took, 99), len(took), 100*spent.Seconds()/time.Since(began).Seconds(), (max(after.HeapInuse, before.HeapInuse)-before.HeapInuse)>>10/(viewers+silent), share(other, 50), share(other, 99))
}

// overHTTP reads an answer of the server.
func (cl *client) overHTTP(t *testing.T, server *httptest.Server, path string) error {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+api+path, nil)
	if err != nil {
		return err
	}
	for name, value := range cl.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := server.Client().Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: got %s", path, res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// share returns the duration that so many of a hundred do not exceed.
func share(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*percent/100, len(all)-1)].Round(10 * time.Microsecond)
}

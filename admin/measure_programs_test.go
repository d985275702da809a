package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// program is a running examples/admin.
type program struct {
	cmd    *exec.Cmd
	base   string // of the API
	answer time.Duration
	out    *os.File
}

// build builds examples/admin and returns its path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../examples/admin").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// launch starts the program and returns once it has printed its address and answers there.
func launch(t *testing.T, path string, args ...string) *program {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), path, args...), out: out}
	p.cmd.Stdout, p.cmd.Stderr = out, io.Discard
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	until(t, "the program prints its address and answers there", func() bool {
		if found := regexp.MustCompile(`console answers at (http://[^,]+),`).FindStringSubmatch(p.printed(t)); found != nil {
			p.base = found[1] + api
		}
		if p.base == "" {
			return false
		}
		res, err := http.Get(p.base + "readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	})
	p.answer = time.Since(began)
	return p
}

func (p *program) printed(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// kill ends the program as a crash does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// remote is an operator whose browser knows several instances of one console, as behind a load balancer.
type remote struct {
	instances []string
	mu        sync.Mutex // guards cookies
	cookies   map[string]string
}

// send sends a request to one of the instances, and takes its cookies.
func (o *remote) send(ctx context.Context, instance int, method, path, body string, headers ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.instances[instance%len(o.instances)]+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	o.mu.Lock()
	for name, value := range o.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	o.mu.Unlock()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range res.Cookies() {
		o.cookies[c.Name] = c.Value
	}
	return res, nil
}

// ask sends a request, to another instance if one breaks off, until there is an answer that is not 503.
func (o *remote) ask(t *testing.T, instance int, method, path, body string, headers ...string) (code int, got []byte) {
	t.Helper()
	until(t, "an instance answers "+method+" "+path, func() bool {
		instance++
		res, err := o.send(t.Context(), instance, method, path, body, headers...)
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		code = res.StatusCode
		got, err = io.ReadAll(res.Body)
		return err == nil && code != http.StatusServiceUnavailable
	})
	return code, got
}

// setUp makes the owner of the first instance.
func setUp(t *testing.T, first *program, instances ...string) *remote {
	t.Helper()
	owner := &remote{instances: instances, cookies: map[string]string{}}
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(first.printed(t))
	if token == nil {
		t.Fatal("no setup token")
	}
	if code, got := owner.ask(t, -1, "POST", "auth/setup", `{"token":"`+token[1]+`","email":"you@example.com","password":"`+password+`"}`); code != http.StatusOK {
		t.Fatalf("setup: got %d %s", code, got)
	}
	return owner
}

// invited makes another operator.
func (o *remote) invited(t *testing.T, n int) *remote {
	t.Helper()
	_, got := o.ask(t, 0, "POST", "invitations", fmt.Sprintf(`{"email":"op%d@example.com","role":"viewer","scope":{"all":true}}`, n))
	var link struct{ Token string }
	if err := json.Unmarshal(got, &link); err != nil || link.Token == "" {
		t.Fatalf("invitation: got %s, %v", got, err)
	}
	out := &remote{instances: o.instances, cookies: map[string]string{}}
	if code, got := out.ask(t, 0, "POST", "auth/accept", `{"token":"`+link.Token+`","password":"`+password+`"}`); code != http.StatusOK {
		t.Fatalf("accept: got %d %s", code, got)
	}
	return out
}

// measureExample says how soon examples/admin answers, has figures, and has its 300 tenants.
func measureExample(t *testing.T) {
	path := build(t)
	began := time.Now()
	p := launch(t, path, "-addr", "127.0.0.1:0", "-app-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"))
	owner := setUp(t, p, p.base)
	figures := time.Duration(0)
	until(t, "there are 300 tenants", func() bool {
		code, got := owner.ask(t, 0, "GET", "analytics/overview", "")
		var o struct {
			Requests struct{ Value float64 }
			Active   struct{ Value float64 } `json:"active_tenants"`
		}
		if code == http.StatusOK {
			if err := json.Unmarshal(got, &o); err != nil {
				t.Fatal(err)
			}
		}
		if figures == 0 && o.Requests.Value > 0 {
			figures = time.Since(began)
		}
		return o.Active.Value == 300 && figures > 0
	})
	fmt.Printf("\nexamples/admin on SQLite: its address answers %v after its start (goal: 3 s), first real figures after %v (goal: 5 s), 300 tenants after %v (goal: 30 s)\n",
		p.answer.Round(time.Millisecond), figures.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// measureKilled kills one of two instances each 10 s, while five operators ask, look at streams, and start runs: nobody is signed out, no run is carried out twice,
// no stream is lost. TENANCY_MEASURE_KILLS is how many; the 2 minutes are 12.
func measureKilled(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv("TENANCY_MEASURE_KILLS"))
	if err != nil {
		kills = 3
	}
	const every, operators, tenants = 10 * time.Second, 5, 30
	database, cache := ownServer(t, testserver.Postgres), ownServer(t, testserver.Redis)
	path := build(t)
	var instances []string
	start := func(i int) *program {
		at := strings.TrimSuffix(strings.TrimPrefix(instances[i], "http://"), api)
		return launch(t, path, "-addr", at, "-app-addr", "127.0.0.1:0", "-server", database.URL, "-redis", strings.TrimPrefix(cache.URL, "redis://"),
			"-tenants", strconv.Itoa(tenants), "-rate", "10", "-data", filepath.Join(t.TempDir(), "data"))
	}
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, "http://"+ln.Addr().String()+api)
		_ = ln.Close()
	}
	programs := []*program{start(0), start(1)}
	owner := setUp(t, programs[0], instances...)
	until(t, "all tenants are there", func() bool {
		_, got := owner.ask(t, 0, "GET", "tenants?filter=status:active", "")
		return bytes.Contains(got, []byte(`"total":`+strconv.Itoa(tenants)))
	})
	var mu sync.Mutex // guards what follows
	codes, unreachable := map[int]int{}, 0
	var took, away []time.Duration
	var plans []string
	work := []func(context.Context) error{func(ctx context.Context) error { // starts runs
		for n := 0; ctx.Err() == nil; n++ {
			verb := []string{"suspend", "activate"}[n%2]
			var plan struct{ Plan, Confirm string }
			code, got := owner.ask(t, n, "POST", "actions/bulk-"+verb, `{"dry_run":true,"filter":"tag:overdue"}`)
			if err := json.Unmarshal(got, &plan); err != nil || code != http.StatusOK {
				return fmt.Errorf("plan: got %d %s", code, got)
			}
			// What is sent again after a crash, to the other instance, is the same request. 409: the first was cut off, and what it did is seen at the run.
			code, got = owner.ask(t, n, "POST", "actions/bulk-"+verb, `{"plan":"`+plan.Plan+`","confirm":"`+plan.Confirm+`"}`, "Idempotency-Key", string(tenancy.NewID()))
			if code != http.StatusAccepted && code != http.StatusConflict {
				return fmt.Errorf("start: got %d %s", code, got)
			}
			if code == http.StatusAccepted {
				mu.Lock()
				plans = append(plans, plan.Plan)
				mu.Unlock()
			}
			until(t, "the run has ended, or was never started", func() bool {
				_, got := owner.ask(t, n, "GET", "runs/"+plan.Plan, "")
				var run struct{ State string }
				return json.Unmarshal(got, &run) == nil && run.State != "running" && run.State != ""
			})
		}
		return nil
	}}
	for i := range operators {
		o := owner.invited(t, i)
		work = append(work, func(ctx context.Context) error { // asks 10 times a second
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for n := i; ; n++ {
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
				what := []string{"me", "tenants", "analytics/overview"}[n%3]
				began := time.Now()
				res, err := o.send(ctx, n, "GET", what, "")
				if err != nil {
					res, err = o.send(ctx, n+1, "GET", what, "")
				}
				mu.Lock()
				switch {
				case err != nil && ctx.Err() == nil:
					unreachable++
				case err == nil:
					codes[res.StatusCode]++
					took = append(took, time.Since(began))
					if res.StatusCode != http.StatusOK && (res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "") {
						t.Errorf("%s: got %s, want 200, or 503 with Retry-After", what, res.Status)
					}
				}
				mu.Unlock()
				if err == nil {
					_ = res.Body.Close()
				}
			}
		})
		for n := range 2 {
			work = append(work, func(ctx context.Context) error {
				last := time.Time{}
				for at := n; ctx.Err() == nil; at++ { // to the other instance when one breaks off
					res, err := o.send(ctx, at, "GET", "live?topics=overview", "")
					if err != nil {
						time.Sleep(50 * time.Millisecond)
						continue
					}
					if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("a stream: got %s", res.Status)
					}
					lines := bufio.NewScanner(res.Body)
					lines.Buffer(nil, 1<<20)
					for first := true; lines.Scan(); {
						if lines.Text() == "event: end" {
							t.Error("a stream was ended as of one who was signed out")
						}
						if !strings.HasPrefix(lines.Text(), "data: {\"topic\"") {
							continue
						}
						if first && !last.IsZero() {
							mu.Lock()
							away = append(away, time.Since(last))
							mu.Unlock()
						}
						first, last = false, time.Now()
					}
					_ = res.Body.Close()
				}
				return nil
			})
		}
	}
	stop := beside(t, work...)
	for i := range kills {
		time.Sleep(every)
		programs[i%2].kill()
		programs[i%2] = start(i % 2)
	}
	time.Sleep(every / 2)
	stop()
	mu.Lock()
	defer mu.Unlock()
	fmt.Printf("\none of two instances killed each %v, %d times: answers by status %s, p99 %v, %d without any; %d streams broke off and had a frame again p50 %v, at most %v after the last (goal: 2 s)\n",
		every, kills, sorted(codes), share(took, 99), unreachable, len(away), share(away, 50), share(away, 100))
	owner.checkRuns(t, plans)
}

// checkRuns compares the runs with those that were started: each is done, once, and has one entry of its start.
func (o *remote) checkRuns(t *testing.T, plans []string) {
	t.Helper()
	starts := map[string]int{}
	cursor := ""
	for {
		_, got := o.ask(t, 0, "GET", "audit?action=run.start&limit=500"+cursor, "")
		var page struct {
			Entries []struct {
				Object, Result string
				Actor          struct{ Kind string }
			}
			Next string
		}
		if err := json.Unmarshal(got, &page); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		for _, e := range page.Entries {
			if e.Result == "done" && e.Actor.Kind == "operator" {
				starts[e.Object]++
			}
		}
		if page.Next == "" {
			break
		}
		cursor = "&cursor=" + page.Next
	}
	for _, id := range plans {
		_, got := o.ask(t, 0, "GET", "runs/"+id, "")
		var run struct {
			State                string
			Total, Done, Skipped int
		}
		if err := json.Unmarshal(got, &run); err != nil || run.State != "done" || run.Done+run.Skipped != run.Total {
			t.Errorf("got the run %s, %v, want it done", got, err)
		}
	}
	for id, n := range starts {
		if n != 1 {
			t.Errorf("the run %s was started %d times", id, n)
		}
	}
	for _, id := range plans {
		if starts[id] == 0 {
			t.Errorf("the run %s has no entry of its start", id)
		}
	}
	_, got := o.ask(t, 0, "POST", "audit/verify", "")
	if !bytes.Contains(got, []byte(`"whole":true`)) {
		t.Errorf("audit: got %s", got)
	}
	fmt.Printf("%d runs started, each once; the audit is whole; nobody was signed out\n", len(starts))
}

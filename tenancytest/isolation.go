package tenancytest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Isolation says how [TestIsolation] talks to a handler.
type Isolation struct {
	// Tenants are at least two tenants that the handler serves. Required.
	Tenants []*tenancy.Tenant
	// Write returns a request by which the tenant stores a secret, a word of
	// letters and digits. Required.
	Write func(t *tenancy.Tenant, secret string) *http.Request
	// Read returns a request whose answer shows at least one secret that the
	// tenant stored. Required.
	Read func(t *tenancy.Tenant) *http.Request
	// Abort returns a request that the handler fails in the middle of a
	// transaction in which it stored the secret. Default: none is sent.
	Abort func(t *tenancy.Tenant, secret string) *http.Request
	// Requests is how many are sent in all. Default: 2,000.
	Requests int
	// Workers is how many goroutines send them. Default: 16.
	Workers int
	// Seed makes the order of a run repeatable, as far as goroutines are.
	// Default: another one in each run.
	Seed uint64
}

// TestIsolation fails the test if the handler ever answers one tenant with what
// another one stored, or answers a read without what the tenant itself stored.
//
// Every tenant stores secrets of its own and reads them back, from many
// goroutines at once. Meanwhile requests are cancelled at any moment, bodies
// break off, transactions are aborted, and writing the answer or reading the
// body panics, which a handler must survive without leaving a connection or a
// transaction to the next request. A panic that the handler raised itself fails
// the test.
//
// A request that is not answered in two minutes, by a handler that heeds its
// context, fails the test too.
//
// The handler is called without a network. Run it under the race detector, on
// the engine that production has.
func TestIsolation(t testing.TB, h http.Handler, iso Isolation) {
	t.Helper()
	for _, err := range checkIsolation(t.Context(), h, iso) {
		t.Error(err)
	}
}

// isolationRun is one run of TestIsolation.
type isolationRun struct {
	Isolation
	handler http.Handler
	prefix  string         // of this run's secrets
	secrets *regexp.Regexp // finds them, with the index of their tenant

	mu     sync.Mutex // guards what follows
	errs   []error
	serial int
}

// answerTime is what a request has. It bounds the wait for a handler that hangs; a machine that
// is slow must not reach it.
const answerTime = 2 * time.Minute

// maxErrors is how many are reported. More do not tell more.
const maxErrors = 10

func checkIsolation(ctx context.Context, h http.Handler, iso Isolation) []error {
	if len(iso.Tenants) < 2 || iso.Write == nil || iso.Read == nil {
		return []error{errors.New("tenancytest: Isolation wants two tenants, Write and Read")}
	}
	if iso.Requests == 0 {
		iso.Requests = 2000
	}
	if iso.Workers == 0 {
		iso.Workers = 16
	}
	if iso.Requests < 0 || iso.Workers < 0 {
		return []error{errors.New("tenancytest: Isolation wants a positive number of requests and workers")}
	}
	if iso.Seed == 0 {
		iso.Seed = mathrand.Uint64()
	}
	run := &isolationRun{Isolation: iso, handler: h, prefix: "secret" + rand.Text() + "of"}
	run.secrets = regexp.MustCompile(run.prefix + `(\d+)no\d+`)

	// Every tenant has something to lose before the storm begins.
	for i := range iso.Tenants {
		run.send(ctx, i, iso.Write(iso.Tenants[i], run.secret(i)), calm, success)
		run.send(ctx, i, iso.Read(iso.Tenants[i]), calm, ownSecret)
	}
	if len(run.errs) > 0 {
		return run.errs // it cannot tell anything
	}
	var wg sync.WaitGroup
	for w := range iso.Workers {
		wg.Go(func() {
			rnd := mathrand.New(mathrand.NewPCG(iso.Seed, uint64(w)))
			for range (iso.Requests + iso.Workers - 1) / iso.Workers {
				if run.hasSeenEnough() {
					return
				}
				run.one(ctx, rnd)
			}
		})
	}
	wg.Wait()
	for i := range iso.Tenants {
		run.send(ctx, i, iso.Read(iso.Tenants[i]), calm, ownSecret)
	}
	return run.errs
}

// one sends a random request of a random tenant with random trouble.
func (run *isolationRun) one(ctx context.Context, rnd *mathrand.Rand) {
	i := rnd.IntN(len(run.Tenants))
	t := run.Tenants[i]
	trouble, want := calm, ownSecret
	if rnd.IntN(3) == 0 {
		trouble, want = troubles[rnd.IntN(len(troubles))], anything
	}
	switch kind := rnd.IntN(10); {
	case kind < 6:
		run.send(ctx, i, run.Read(t), trouble, want)
	case kind < 8 || run.Abort == nil:
		run.send(ctx, i, run.Write(t, run.secret(i)), trouble, min(want, success))
	default:
		run.send(ctx, i, run.Abort(t, run.secret(i)), trouble, anything)
	}
}

// secret returns a new secret of the tenant with that index.
func (run *isolationRun) secret(i int) string {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.serial++
	return fmt.Sprintf("%s%dno%d", run.prefix, i, run.serial)
}

func (run *isolationRun) hasSeenEnough() bool {
	run.mu.Lock()
	defer run.mu.Unlock()
	return len(run.errs) >= maxErrors
}

func (run *isolationRun) report(i int, r *http.Request, format string, args ...any) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if len(run.errs) < maxErrors {
		run.errs = append(run.errs, fmt.Errorf("tenancytest: tenant %s: %s %s: %s",
			run.Tenants[i].Slug, r.Method, r.URL, fmt.Sprintf(format, args...)))
	}
}

// expectation is what an answer must be, beside free of others' secrets.
type expectation int

const (
	anything  expectation = iota
	success               // status 2xx
	ownSecret             // that, and a secret of the tenant's own
)

// send calls the handler and judges its answer.
func (run *isolationRun) send(ctx context.Context, i int, r *http.Request, trouble trouble, want expectation) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r = r.WithContext(ctx)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	w := trouble.apply(rec, r, cancel)
	defer func() { // as a server does, which the handler does not have here
		if r.MultipartForm != nil {
			_ = r.MultipartForm.RemoveAll()
		}
	}()
	func() {
		defer func() {
			switch p := recover(); p {
			case nil, errInjected, http.ErrAbortHandler:
			default:
				run.report(i, r, "the handler panicked: %v\n%s", p, debug.Stack())
			}
		}()
		run.handler.ServeHTTP(w, r)
	}()

	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		run.report(i, r, "no answer in %v: does a handler keep a transaction, rows or a connection open?", answerTime)
		return
	}
	own := false
	for _, match := range run.secrets.FindAllStringSubmatch(fmt.Sprint(rec.Header())+rec.Body.String(), -1) {
		of, err := strconv.Atoi(match[1])
		if err != nil || of >= len(run.Tenants) {
			continue
		}
		if of != i {
			run.report(i, r, "the answer shows a secret of tenant %s", run.Tenants[of].Slug)
			return
		}
		own = true
	}
	if want >= success && (rec.Code < 200 || rec.Code > 299) {
		run.report(i, r, "got status %d, want 2xx: %.200s", rec.Code, rec.Body)
	} else if want == ownSecret && !own {
		run.report(i, r, "the answer does not show what the tenant stored: %.200s", rec.Body)
	}
}

// errInjected is what the harness panics with, and what its bodies fail with.
var errInjected = errors.New("tenancytest: injected")

// trouble is something that happens to a request on its way.
type trouble struct {
	name  string
	apply func(w http.ResponseWriter, r *http.Request, cancel func()) http.ResponseWriter
}

var calm = trouble{"calm", func(w http.ResponseWriter, _ *http.Request, _ func()) http.ResponseWriter { return w }}

var troubles = []trouble{
	{"cancelled before", func(w http.ResponseWriter, _ *http.Request, cancel func()) http.ResponseWriter {
		cancel()
		return w
	}},
	{"cancelled meanwhile", func(w http.ResponseWriter, _ *http.Request, cancel func()) http.ResponseWriter {
		// From some microseconds to some milliseconds, all orders alike.
		time.AfterFunc(time.Duration(10_000*math.Pow(1000, mathrand.Float64())), cancel)
		return w
	}},
	{"panic while writing", func(w http.ResponseWriter, _ *http.Request, _ func()) http.ResponseWriter {
		return panicWriter{w}
	}},
	{"panic while reading", func(w http.ResponseWriter, r *http.Request, _ func()) http.ResponseWriter {
		r.Body = &brokenBody{rest: r.Body, panics: true}
		return w
	}},
	{"body breaks off", func(w http.ResponseWriter, r *http.Request, _ func()) http.ResponseWriter {
		r.Body = &brokenBody{rest: r.Body}
		return w
	}},
}

// panicWriter panics as soon as the handler answers.
type panicWriter struct{ http.ResponseWriter }

func (panicWriter) WriteHeader(int)           { panic(errInjected) }
func (panicWriter) Write([]byte) (int, error) { panic(errInjected) }

// brokenBody gives a few bytes, then fails or panics.
type brokenBody struct {
	rest   io.ReadCloser
	read   bool
	panics bool
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if !b.read {
		b.read = true
		return b.rest.Read(p[:min(len(p), 5)])
	}
	if b.panics {
		panic(errInjected)
	}
	return 0, errInjected
}

func (b *brokenBody) Close() error { return b.rest.Close() }

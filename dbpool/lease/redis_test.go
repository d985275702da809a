//go:build unix

package lease_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// startRedis starts a server for this test alone, where one is installed.
func startRedis(t *testing.T) *testserver.Server {
	t.Helper()
	return testserver.ForTest(t, testserver.Redis, nil)
}

// connect returns a client with one connection.
func connect(t *testing.T, address string) rueidis.Client {
	t.Helper()
	opts := rueidis.MustParseURL(address)
	opts.PipelineMultiplex = -1
	opts.ForceSingleClient = true
	client, err := rueidis.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// alone is the namespace of a test that has a Redis of its own.
const alone = "alone"

func instances(t *testing.T, client rueidis.Client, namespace string, opts lease.Options) func() dbpool.Lender {
	return func() dbpool.Lender {
		t.Helper()
		r, err := lease.NewRedis(client, namespace, &opts)
		if err != nil {
			t.Error(err)
		}
		return r
	}
}

// lend asks for the server main.
func lend(t *testing.T, l dbpool.Lender, total, keep, want int) dbpool.Loan {
	t.Helper()
	loan, err := l.Borrow(t.Context(), dbpool.BorrowRequest{Server: "main", Total: total, Keep: keep, Want: want})
	if err != nil {
		t.Fatalf("Borrow: %v", err)
	}
	return loan
}

// patient is longer than any pause of a busy machine.
const patient = 2 * time.Minute

// await asks until so many are granted.
func await(t *testing.T, l dbpool.Lender, total, granted int) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(10 * time.Millisecond) {
		loan := lend(t, l, total, 0, granted)
		if loan.Granted == granted {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("granted %d of %d, want %d", loan.Granted, total, granted)
		}
	}
}

func TestRedisConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestLender(t, func(t *testing.T) func() dbpool.Lender {
		client, ns := tenancytest.Redis(t)
		return instances(t, client, ns, lease.Options{TTL: testTTL})
	})
}

func TestRedisConformsWhenFlushed(t *testing.T) {
	t.Parallel()
	tenancytest.TestLenderLoss(t, func(t *testing.T) (func() dbpool.Lender, func()) {
		client := connect(t, startRedis(t).URL)
		return instances(t, client, alone, lease.Options{TTL: testTTL}), func() {
			if err := client.Do(t.Context(), client.B().Flushall().Build()).Error(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRedisConformsWhenKilled(t *testing.T) {
	t.Parallel()
	tenancytest.TestLenderLoss(t, func(t *testing.T) (func() dbpool.Lender, func()) {
		s := startRedis(t)
		client := connect(t, s.URL)
		return instances(t, client, alone, lease.Options{TTL: testTTL}), func() {
			s.Kill()
			restart(t, s, client)
		}
	})
}

// restart returns when the client has a connection to the server again.
func restart(t *testing.T, s *testserver.Server, client rueidis.Client) {
	t.Helper()
	if err := s.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	for t.Context().Err() == nil && client.Do(t.Context(), client.B().Ping().Build()).Error() != nil {
	}
}

// A server that starts from a snapshot does not know of what came after it.
func TestRedisStartsFromSnapshot(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	instance := instances(t, client, alone, lease.Options{TTL: 2 * time.Second})
	a, b := instance(), instance()
	await(t, a, 10, 3)
	if err := client.Do(t.Context(), client.B().Save().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if loan := lend(t, a, 10, 3, 10); loan.Granted != 10 {
		t.Fatalf("granted %d, want 10", loan.Granted)
	}
	s.Kill()
	restart(t, s, client)
	if n, err := client.Do(t.Context(), client.B().Dbsize().Build()).AsInt64(); n != 1 || err != nil {
		t.Fatalf("got %d keys, %v, want that of the snapshot", n, err)
	}
	loan := lend(t, b, 10, 0, 10)
	if loan.Granted != 0 && time.Since(began) < loan.For {
		t.Errorf("another has all: granted %d, want 0", loan.Granted)
	}
}

func TestRedisNamespacesDoNotShare(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	var all []dbpool.Lender
	for _, namespace := range []string{ns + ".a", ns + ".b"} {
		l := instances(t, client, namespace, lease.Options{TTL: testTTL})()
		await(t, l, 10, 1)
		lend(t, l, 10, 0, 0)
		all = append(all, l)
	}
	for i, l := range all {
		if loan := lend(t, l, 10, 0, 10); loan.Granted != 10 {
			t.Errorf("namespace %d: granted %d, want 10", i, loan.Granted)
		}
	}
}

// TestRedisPermissions shows what a user of Redis must be allowed to.
func TestRedisPermissions(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	admin := connect(t, s.URL)
	rules := []string{"on", ">secret", "~tenancy:lease:alone:*", "+hello", "+eval", "+evalsha", "+time", "+get", "+set"}
	if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("lender").Rule(rules...).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.RawQuery = url.UserPassword("lender", "secret"), "client_cache=0"
	instance := instances(t, connect(t, u.String()), alone, lease.Options{TTL: testTTL})
	a, b := instance(), instance()
	await(t, a, 10, 10)
	began := time.Now()
	lend(t, a, 10, 10, 10)
	if loan := lend(t, b, 10, 0, 10); loan.Granted != 0 && time.Since(began) < testTTL {
		t.Errorf("granted %d of what another has", loan.Granted)
	}
	_, err = instances(t, connect(t, u.String()), "other", lease.Options{})().Borrow(t.Context(), dbpool.BorrowRequest{Server: "main"})
	if !errors.Is(err, tenancy.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key that the user may not use: got %v, want %v", err, tenancy.ErrUnavailable)
	}
}

func TestNewRedisRefuses(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	for what, opts := range map[string]*lease.Options{
		"negative TTL": {TTL: -1}, "short TTL": {TTL: time.Millisecond}, "long TTL": {TTL: 2 * time.Hour},
	} {
		if _, err := lease.NewRedis(client, ns, opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", what, err, tenancy.ErrInvalid)
		}
	}
	for _, odd := range []string{"", "a{b", "a:b"} {
		if _, err := lease.NewRedis(client, odd, nil); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("namespace %q: got %v, want %v", odd, err, tenancy.ErrInvalid)
		}
	}
	if _, err := lease.NewRedis(nil, ns, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v, want %v", err, tenancy.ErrInvalid)
	}
}

func TestRedisDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	client := connect(t, s.URL)
	l := instances(t, client, alone, lease.Options{TTL: testTTL})()
	lend(t, l, 10, 0, 0)
	s.Kill()
	_, err := l.Borrow(t.Context(), dbpool.BorrowRequest{Server: "main"})
	if !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("killed: got %v, want %v", err, tenancy.ErrUnavailable)
	}
	client.Close()
	_, err = l.Borrow(t.Context(), dbpool.BorrowRequest{Server: "main"})
	if !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("client closed: got %v, want %v", err, tenancy.ErrUnavailable)
	}
}

// slowRedis starts a server behind a proxy, and returns the proxy and a client of
// it.
func slowRedis(t *testing.T) (rueidis.Client, *testserver.Proxy) {
	t.Helper()
	proxy, err := testserver.StartProxy(strings.TrimPrefix(startRedis(t).URL, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return connect(t, "redis://"+proxy.Addr), proxy
}

// slowDown makes answers take an hour.
func slowDown(t *testing.T, proxy *testserver.Proxy) {
	t.Helper()
	proxy.Inject(testserver.Fault{Delayed: time.Hour})
}

func TestRedisIsSlow(t *testing.T) {
	t.Parallel()
	client, proxy := slowRedis(t)
	instance := instances(t, client, alone, lease.Options{TTL: testTTL})
	a, b := instance(), instance()
	await(t, a, 10, 4)
	slowDown(t, proxy)
	ask := dbpool.BorrowRequest{Server: "main", Total: 10, Keep: 2, Want: 2}

	within := func(what string, ctx context.Context, limit time.Duration, want error) {
		t.Helper()
		began := time.Now()
		_, err := a.Borrow(ctx, ask)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
		if d := time.Since(began); d > limit {
			t.Errorf("%s: took %v", what, d)
		}
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	within("deadline", brief, patient, context.DeadlineExceeded)
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	within("cancelled", canceled, patient, context.Canceled)
	dated, cancel := context.WithTimeout(t.Context(), time.Hour)
	time.AfterFunc(50*time.Millisecond, cancel)
	within("cancelled before its deadline", dated, patient, context.Canceled)
	within("no end", context.WithoutCancel(t.Context()), patient, tenancy.ErrUnavailable)

	proxy.Inject(testserver.Fault{})
	await(t, b, 10, 10) // a's last loan has ended
}

// A client that connects anew does not heed everybody's context.
func TestRedisIsSlowToConnect(t *testing.T) {
	t.Parallel()
	client, proxy := slowRedis(t)
	l := instances(t, client, alone, lease.Options{TTL: testTTL})()
	lend(t, l, 10, 0, 0)
	proxy.Stop()
	for client.Do(t.Context(), client.B().Ping().Build()).Error() == nil { // until the client knows
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	slowDown(t, proxy)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			l := instances(t, client, alone, lease.Options{TTL: time.Minute})()
			began := time.Now()
			_, err := l.Borrow(ctx, dbpool.BorrowRequest{Server: "main"})
			if d := time.Since(began); !errors.Is(err, context.Canceled) || d > patient {
				t.Errorf("got %v after %v, want %v", err, d, context.Canceled)
			}
		})
	}
	wg.Wait()
}

func TestRedisCheck(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	client := connect(t, server.URL)
	r, err := lease.NewRedis(client, alone, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(t.Context()); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: got %v, want Canceled", err)
	}
	server.Kill()
	if err := r.Check(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("without Redis: got %v, want ErrUnavailable", err)
	}
}

package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

// as puts a tenant into the requests' contexts.
func as(t *tenancy.Tenant, h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), t)))
	})
}

func limited(slug string, limits map[string]int64) *tenancy.Tenant {
	t := newTenant(slug, tenancy.StatusActive)
	t.Limits = limits
	return t
}

// from makes a request of who is connected from that address.
func from(remote, path string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func serveTo(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// byPathClass takes the class from the path and the key from a header, as no
// service should.
func limitOptions(proxies *resolver.Proxies) *middleware.RateLimitOptions {
	return &middleware.RateLimitOptions{
		Options: *quiet,
		Class:   func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") },
		Key:     func(r *http.Request) string { return r.Header.Get("X-Key") },
		Proxies: proxies,
	}
}

func someProxies(t *testing.T) *resolver.Proxies {
	t.Helper()
	p, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRateLimitHeaders(t *testing.T) {
	t.Parallel()
	const peer = "192.0.2.1:80"
	for name, tt := range map[string]struct {
		limits        map[string]int64
		r             *http.Request
		policy, state string
	}{
		"no limits":       {nil, from(peer, "/"), "", ""},
		"tenant":          {map[string]int64{"rate.tenant": 60}, from(peer, "/"), `"tenant";q=60;w=60`, `"tenant";r=59;t=1`},
		"burst":           {map[string]int64{"rate.tenant": 60, "burst.tenant": 5}, from(peer, "/"), `"tenant";q=60;w=60`, `"tenant";r=4;t=1`},
		"negative":        {map[string]int64{"rate.tenant": -1, "rate.key": -9}, from(peer, "/", "X-Key", "k"), "", ""},
		"key, nobody":     {map[string]int64{"rate.key": 60}, from(peer, "/"), "", ""},
		"key":             {map[string]int64{"rate.key": 60}, from(peer, "/", "X-Key", "k"), `"key";q=60;w=60`, `"key";r=59;t=1`},
		"address":         {map[string]int64{"rate.address": 2}, from(peer, "/"), `"address";q=2;w=60`, `"address";r=1;t=30`},
		"unknown address": {map[string]int64{"rate.address": 2}, from("@", "/"), `"address";q=2;w=60`, `"address";r=1;t=30`},
		"all": {map[string]int64{"rate.tenant": 60, "rate.key": 30, "rate.address": 6}, from(peer, "/", "X-Key", "k"),
			`"tenant";q=60;w=60, "key";q=30;w=60, "address";q=6;w=60`, `"tenant";r=59;t=1, "key";r=29;t=2, "address";r=5;t=10`},
		"class":                           {map[string]int64{"rate.tenant": 60, "rate.tenant.search": 6}, from(peer, "/search"), `"tenant.search";q=6;w=60`, `"tenant.search";r=5;t=10`},
		"class without a rate of its own": {map[string]int64{"rate.tenant": 60}, from(peer, "/search"), `"tenant";q=60;w=60`, `"tenant";r=59;t=1`},
		"class without a limit":           {map[string]int64{"rate.tenant": 60, "rate.tenant.health": -1}, from(peer, "/health"), "", ""},
		"odd class":                       {map[string]int64{`rate.tenant.a"b\ä,c`: 60}, from(peer, `/a"b\ä,c`), `"tenant.a_b____c";q=60;w=60`, `"tenant.a_b____c";r=59;t=1`},
		"most":                            {map[string]int64{"rate.tenant": 1<<63 - 1}, from(peer, "/"), `"tenant";q=999999999999999;w=60`, `"tenant";r=999999999999999;t=1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := &spy{}
			h := as(limited("acme", tt.limits), tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), limitOptions(nil)))(next))
			w := serveTo(h, tt.r)
			if w.Code != 204 || len(next.got) != 1 {
				t.Errorf("got %d and %d calls of the handler, want 204 and one", w.Code, len(next.got))
			}
			if got := strings.Join(w.Header().Values("RateLimit-Policy"), "|"); got != tt.policy {
				t.Errorf("got the policy %s, want %s", got, tt.policy)
			}
			if got := strings.Join(w.Header().Values("RateLimit"), "|"); got != tt.state {
				t.Errorf("got the state %s, want %s", got, tt.state)
			}
		})
	}
}

func TestRateLimitRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		opts := limitOptions(nil)
		opts.Options = *logTo(&b)
		next := &spy{}
		h := as(limited("acme", map[string]int64{"rate.tenant": 60, "rate.key": 2}), tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), opts))(next))
		for i, step := range []struct {
			wait time.Duration
			key  string
			want answer
			left string
		}{
			{0, "a", passed, `"tenant";r=59;t=1, "key";r=1;t=30`},
			{0, "a", passed, `"tenant";r=58;t=1, "key";r=0;t=30`},
			{0, "a", answer{429, "limited", "30"}, `"tenant";r=58;t=1, "key";r=0;t=30`},
			{500 * time.Millisecond, "a", answer{429, "limited", "30"}, `"tenant";r=58;t=1, "key";r=0;t=30`},
			{0, "b", passed, `"tenant";r=57;t=1, "key";r=1;t=30`},
			{29500 * time.Millisecond, "a", passed, `"tenant";r=59;t=1, "key";r=0;t=30`},
			{0, "a", answer{429, "limited", "30"}, `"tenant";r=59;t=1, "key";r=0;t=30`},
		} {
			time.Sleep(step.wait)
			w := serveTo(h, from("192.0.2.1:80", "/", "X-Key", step.key))
			if got := answerOf(t, w); got != step.want {
				t.Errorf("step %d: got %+v, want %+v", i, got, step.want)
			}
			if got := w.Header().Get("RateLimit"); got != step.left {
				t.Errorf("step %d: got %s, want %s", i, got, step.left)
			}
		}
		if len(next.got) != 4 {
			t.Errorf("got %d calls of the handler, want 4", len(next.got))
		}
		if !strings.Contains(b.String(), "tenant id-acme: limit reached: key") {
			t.Errorf("the log does not say which limit: %s", &b)
		}
	})
}

// The time to come back is that of all limits which have nothing left.
func TestRateLimitRetryAfter(t *testing.T) {
	t.Parallel()
	limited429 := func(after string) answer { return answer{429, "limited", after} }
	for name, tt := range map[string]struct {
		limits map[string]int64
		want   answer
	}{
		"one":              {map[string]int64{"rate.tenant": 1}, limited429("60")},
		"two":              {map[string]int64{"rate.tenant": 1, "rate.address": 120, "burst.address": 1}, limited429("60")},
		"zero":             {map[string]int64{"rate.tenant": 0}, limited429("")},
		"zero and another": {map[string]int64{"rate.tenant": 0, "rate.address": 1}, limited429("")},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := as(limited("acme", tt.limits), tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), limitOptions(nil)))(&spy{}))
			serveTo(h, from("192.0.2.1:80", "/"))
			if got := answerOf(t, serveTo(h, from("192.0.2.1:80", "/"))); got != tt.want {
				t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
			}
		})
	}
}

// What counts together has one request left for two.
func TestRateLimitCountsTogether(t *testing.T) {
	t.Parallel()
	const peer, proxy = "192.0.2.1:80", "10.0.0.1:80"
	one := map[string]int64{"rate.address": 1, "rate.address.login": 1}
	for name, tt := range map[string]struct {
		limits   map[string]int64
		a, b     *http.Request
		together bool
	}{
		"same address":                {one, from(peer, "/"), from("192.0.2.1:81", "/"), true},
		"other address":               {one, from(peer, "/"), from("192.0.2.2:80", "/"), false},
		"IPv4 in IPv6":                {one, from(peer, "/"), from("[::ffff:192.0.2.1]:80", "/"), true},
		"same /64":                    {one, from("[2001:db8::1]:1", "/"), from("[2001:db8::2]:1", "/"), true},
		"zones":                       {one, from("[fe80::1%eth0]:1", "/"), from("[fe80::1%eth1]:1", "/"), true},
		"other /64":                   {one, from("[2001:db8::1]:1", "/"), from("[2001:db8:0:1::1]:1", "/"), false},
		"no addresses":                {one, from("@", "/"), from("", "/"), true},
		"class of its own":            {one, from(peer, "/"), from(peer, "/login"), false},
		"class without a rate":        {one, from(peer, "/"), from(peer, "/search"), true},
		"spoofed":                     {one, from(peer, "/", "X-Forwarded-For", "203.0.113.1"), from(peer, "/", "X-Forwarded-For", "203.0.113.2"), true},
		"forwarded":                   {one, from(proxy, "/", "X-Forwarded-For", "203.0.113.1"), from(proxy, "/", "X-Forwarded-For", "203.0.113.2"), false},
		"forwarded, spoofed":          {one, from(proxy, "/", "X-Forwarded-For", "1.1.1.1, 203.0.113.1"), from(proxy, "/", "X-Forwarded-For", "2.2.2.2, 203.0.113.1"), true},
		"forwarded, spoofed in lines": {one, from(proxy, "/", "X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "203.0.113.1"), from(proxy, "/", "X-Forwarded-For", "203.0.113.1"), true},
		"forwarded, malformed":        {one, from(proxy, "/", "X-Forwarded-For", "x"), from(proxy, "/", "X-Forwarded-For", "y"), true},
		"same key":                    {map[string]int64{"rate.key": 1}, from(peer, "/", "X-Key", "k"), from("192.0.2.2:80", "/", "X-Key", "k"), true},
		"other key":                   {map[string]int64{"rate.key": 1}, from(peer, "/", "X-Key", "k"), from(peer, "/", "X-Key", "K"), false},
		"tenant":                      {map[string]int64{"rate.tenant": 1}, from(peer, "/", "X-Key", "k"), from("192.0.2.2:80", "/"), true},
	} {
		h := as(limited("acme", tt.limits), tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), limitOptions(someProxies(t))))(&spy{}))
		if w := serveTo(h, tt.a); w.Code != 204 {
			t.Errorf("%s: got %d for the first", name, w.Code)
		}
		if got := serveTo(h, tt.b).Code == 429; got != tt.together {
			t.Errorf("%s: got the second refused: %t, want %t", name, got, tt.together)
		}
	}
}

func TestRateLimitTenantsAreApart(t *testing.T) {
	t.Parallel()
	limit := tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), limitOptions(nil)))
	limits := map[string]int64{"rate.tenant": 1, "rate.key": 1, "rate.address": 1}
	for _, want := range []int{204, 429} {
		for _, slug := range []string{"a", "b", "c"} {
			if w := serveTo(as(limited(slug, limits), limit(&spy{})), from("192.0.2.1:80", "/", "X-Key", "k")); w.Code != want {
				t.Errorf("%s: got %d, want %d", slug, w.Code, want)
			}
		}
	}
}

func TestRateLimitWithoutATenant(t *testing.T) {
	t.Parallel()
	opts := limitOptions(nil)
	h := tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), opts))(&spy{})
	if w := serveTo(h, from("192.0.2.1:80", "/", "X-Key", "k")); w.Code != 204 || w.Header().Get("RateLimit") != "" {
		t.Errorf("got %d with %v, want no limit", w.Code, w.Header())
	}
	opts.Rate = func(t *tenancy.Tenant, of ratelimit.Kind, class string) (ratelimit.Rate, bool) {
		return ratelimit.PerSecond(1), t == nil && of == ratelimit.Address && class == ""
	}
	h = tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), opts))(&spy{})
	for i, want := range []string{`"address";q=1;w=1`, `"address";q=1;w=1`} {
		w := serveTo(h, from("192.0.2.1:80", "/signup"))
		if got := w.Header().Get("RateLimit-Policy"); got != want || (w.Code == 429) != (i == 1) {
			t.Errorf("request %d: got %d with %s, want %s", i, w.Code, got, want)
		}
	}
}

func TestRateLimitsInARow(t *testing.T) {
	t.Parallel()
	rate := func(kind ratelimit.Kind) func(http.Handler) http.Handler {
		return tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &middleware.RateLimitOptions{Options: *quiet,
			Rate: func(_ *tenancy.Tenant, of ratelimit.Kind, _ string) (ratelimit.Rate, bool) {
				return ratelimit.Rate{Limit: 5, Period: 1500 * time.Millisecond}, of == kind
			}}))
	}
	w := serveTo(as(limited("acme", nil), rate(ratelimit.Address)(rate(ratelimit.Tenant)(&spy{}))), from("192.0.2.1:80", "/"))
	for name, want := range map[string]string{
		"RateLimit": `"address";r=4;t=1|"tenant";r=4;t=1`, "RateLimit-Policy": `"address";q=5;w=2|"tenant";q=5;w=2`,
	} {
		if got := strings.Join(w.Header().Values(name), "|"); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	hidden := tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &middleware.RateLimitOptions{HideHeaders: true}))
	w = serveTo(as(limited("acme", map[string]int64{"rate.tenant": 1}), hidden(&spy{})), from("192.0.2.1:80", "/"))
	if len(w.Header()) != 0 {
		t.Errorf("hidden: got %v", w.Header())
	}
}

// takeFunc is a limiter.
type takeFunc func(ctx context.Context, limits []ratelimit.Limit) (bool, error)

func (f takeFunc) Take(ctx context.Context, limits []ratelimit.Limit) (bool, error) {
	return f(ctx, limits)
}

func TestRateLimitWhenTheLimiterFails(t *testing.T) {
	t.Parallel()
	for want, limiter := range map[answer]takeFunc{
		down: func(context.Context, []ratelimit.Limit) (bool, error) {
			return false, fmt.Errorf("x: %w", tenancy.ErrUnavailable)
		},
		internal: func(context.Context, []ratelimit.Limit) (bool, error) { return true, errors.New("odd") },
		{429, "limited", ""}: func(_ context.Context, l []ratelimit.Limit) (bool, error) {
			l[0].Remaining, l[0].After = 0, time.Minute
			l[1].Remaining, l[1].After = 0, 0 // never
			return false, nil
		},
		{429, "limited", "1"}: func(_ context.Context, l []ratelimit.Limit) (bool, error) {
			l[0].Remaining, l[1].Remaining = 1, 1
			return false, nil
		},
	} {
		next := &spy{}
		h := as(limited("acme", map[string]int64{"rate.tenant": 1, "rate.address": 1}), tenancy.Must(middleware.RateLimit(limiter, limitOptions(nil)))(next))
		if got := ask(t, h, from("192.0.2.1:80", "/")); got != want || len(next.got) != 0 {
			t.Errorf("got %+v and %d calls of the handler, want %+v", got, len(next.got), want)
		}
	}
}

func TestRateLimitRefusesNoLimiter(t *testing.T) {
	t.Parallel()
	if m, err := middleware.RateLimit(nil, nil); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid and no middleware", err)
	}
}

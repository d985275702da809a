package main

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/artflow-studio/tenancy/tenancytest"
)

// sums is what a test counted, or what the service printed of a tenant.
type sums struct{ requests, status2xx, status4xx, errors, limited, maintenance, in, out int }

var printedUsage = regexp.MustCompile(`(?m)^  (\w+): requests (\d+), status_2xx (\d+), status_4xx (\d+), errors (\d+), limited (\d+), maintenance (\d+), ` +
	`bytes_in (\d+) B, bytes_out (\d+) B, statements [1-9]\d*, latency_p95 [\d.]+[µm]?s ±9 %$`)

// What the service prints when it stops is what was asked of it.
func TestUsage(t *testing.T) {
	t.Parallel()
	bin := build(t)
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		args := []string{"-data", t.TempDir()}
		if s.Name != "sqlite" {
			args = append(args, "-server", s.DSN)
		}
		p := start(t, bin, args...)
		t.Cleanup(func() { dropAll(t, s, args[1]) })
		want := map[string]*sums{"acme": {}, "globex": {}}
		send := func(slug, method, url, body string, wantCode, in int, header ...string) {
			t.Helper()
			code, got := p.do(t, method, url, body, header...)
			if code != wantCode {
				t.Fatalf("%s %s: got %d %s, want %d", method, url, code, got, wantCode)
			}
			w := want[slug]
			if w == nil {
				return
			}
			w.requests++
			w.in += in
			w.out += len(got)
			switch {
			case code >= 500:
				w.errors++
			case code >= 400:
				w.status4xx++
			case code >= 200:
				w.status2xx++
			}
			if code == 503 {
				w.maintenance++
			}
		}
		for i := range 2 {
			body := fmt.Sprintf(`{"text": "note %d"}`, i)
			send("acme", "POST", "http://acme.localhost/notes", body, 201, len(body), "X-API-Key", p.keys["acme"])
		}
		send("acme", "GET", "http://localhost/t/acme/notes", "", 200, 0)
		send("acme", "POST", "http://acme.localhost/notes", `{"text": "no key"}`, 403, 0)
		send("globex", "GET", "http://globex.localhost/notes", "", 200, 0, "X-API-Key", p.keys["globex"])
		send("globex", "GET", "http://globex.localhost/notes", "", 401, 0)
		send("", "GET", "http://nobody.localhost/notes", "", 404, 0)
		send("", "GET", "http://localhost/", "", 200, 0)
		operator := []string{"Authorization", "Bearer " + p.operatorKey}
		send("", "POST", "http://localhost/ops/maintenance/acme", "", 200, 0, operator...)
		send("acme", "GET", "http://acme.localhost/notes", "", 503, 0)
		p.stop(t)

		got := map[string]*sums{}
		for _, m := range printedUsage.FindAllStringSubmatch(p.printed.String(), -1) {
			var n [8]int
			for i := range n {
				n[i], _ = strconv.Atoi(m[i+2]) // it is digits
			}
			got[m[1]] = &sums{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}
		}
		for slug, w := range want {
			if got[slug] == nil || *got[slug] != *w {
				t.Errorf("%s: got %+v, want %+v; it printed:\n%s", slug, got[slug], w, p.printed.String())
			}
		}
	})
}

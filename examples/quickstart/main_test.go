package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The service keeps its tenants apart, on every engine.
func TestIsolation(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		m, err := migrate.New(pool, os.DirFS("migrations"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var tenants []*tenancy.Tenant
		for i := range 8 {
			tenant := s.Tenant(t, fmt.Sprintf("t%d", i))
			if err := m.Up(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
			tenants = append(tenants, tenant)
		}
		cat := tenancytest.NewCatalog(t, tenants...)
		gate, err := maintenance.NewGate(cat, nil)
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := catalog.NewKeyIssuer(cat, keyPrefix, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]string{}
		for _, tenant := range tenants {
			key, _, err := issuer.Issue(t.Context(), tenant.ID, catalog.APIKeySpec{Scopes: []string{"write"}})
			if err != nil {
				t.Fatal(err)
			}
			keys[tenant.Slug] = key.Reveal()
		}
		with := func(r *http.Request, tenant *tenancy.Tenant) *http.Request {
			r.Header.Set("X-API-Key", keys[tenant.Slug])
			return r
		}
		o := &ops{cat, gate, tenancy.NewSecret("nobody knows")}
		tenancytest.TestIsolation(t, routes(cat, &notes{pool}, o, issuer.Used), tenancytest.Isolation{
			Tenants: tenants,
			Write: func(tenant *tenancy.Tenant, secret string) *http.Request {
				body := strings.NewReader(`{"text": "` + secret + `"}`)
				return with(httptest.NewRequest("POST", "http://"+tenant.Slug+".localhost/notes", body), tenant)
			},
			Read: func(tenant *tenancy.Tenant) *http.Request {
				return with(httptest.NewRequest("GET", "/t/"+tenant.Slug+"/notes", nil), tenant)
			},
		})
	})
}

func TestReadNote(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"text": "hello"}`: "hello", `{"text": " é <b> "}`: "é <b>", " {\"text\":\n\"x\"}\n": "x",
		``: "", `{}`: "", `{"text": ""}`: "", `{"text": "  "}`: "", `{"text": 1}`: "", `[]`: "", `null`: "", `{"text": "x"} {}`: "",
		`{"text": "x"`: "", `{"text": "x", "id": "1"}`: "", `{"text": "a\u0000b"}`: "", `{"text": "` + strings.Repeat("x", maxText+1) + `"}`: "",
	} {
		got, err := readNote(strings.NewReader(body))
		if (err == nil) != (want != "") || err == nil && got.Text != want {
			t.Errorf("%.40q: got %+v, %v, want %q", body, got, err, want)
		}
	}
}

// process is a running quickstart.
type process struct {
	cmd         *exec.Cmd
	port        string
	keys        map[string]string // by slug
	operatorKey string
	printed     bytes.Buffer  // since it listens
	ended       chan struct{} // all was printed
}

var (
	address  = regexp.MustCompile(`Listening on http://127\.0\.0\.1:(\d+)`)
	keyOf    = regexp.MustCompile(`^  (\w+)=(notes_\w+)$`)
	operator = regexp.MustCompile(`^  operator=(\w+)$`)
)

func build(t *testing.T) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// built builds the program once for all tests, in the folder that TestMain removes.
var built = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(buildDir, "quickstart")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "quickstart"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

func start(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), bin, append(args, "-addr", "127.0.0.1:0")...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.keys = map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := keyOf.FindStringSubmatch(lines.Text()); m != nil {
			p.keys[m[1]] = m[2]
		}
		if m := operator.FindStringSubmatch(lines.Text()); m != nil {
			p.operatorKey = m[1]
		}
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			p.port = m[1]
			p.ended = make(chan struct{})
			go func() { defer close(p.ended); _, _ = io.Copy(&p.printed, out) }()
			return p
		}
	}
	t.Fatal("it did not say where it listens")
	return nil
}

// stop ends the process as a supervisor does, and checks that it went well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: got %v, want a clean end", err)
	}
}

// do sends a request to the port, whatever the URL's host is, and returns the
// status and the body.
func (p *process) do(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = r.URL.Host
	r.URL.Host = "127.0.0.1:" + p.port
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func texts(t *testing.T, body string) string {
	t.Helper()
	var found []note
	if err := json.Unmarshal([]byte(body), &found); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var all []string
	for _, n := range found {
		all = append(all, n.Text)
	}
	return strings.Join(all, ",")
}

func TestProcess(t *testing.T) {
	t.Parallel()
	bin := build(t)
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		args := []string{"-data", t.TempDir()}
		if s.Name != "sqlite" {
			args = append(args, "-server", s.DSN)
		}
		p := start(t, bin, args...)
		acme, globex := p.keys["acme"], p.keys["globex"]
		for _, tt := range []struct {
			method, url, body string
			key               string
			header            []string
			code              int
		}{
			{"POST", "http://acme.localhost/notes", `{"text": "one"}`, acme, nil, 201},
			{"POST", "http://ACME.localhost.:80/notes", `{"text": "two"}`, acme, nil, 201},
			{"POST", "http://localhost/t/globex/notes", `{"text": "three"}`, globex, nil, 201},
			{"POST", "http://127.0.0.1/notes", `{"text": "four"}`, globex, []string{"X-Tenant", "globex"}, 201},
			{"POST", "http://acme.localhost/t/acme/notes", `{"text": "five"}`, acme, []string{"X-Tenant", "acme"}, 201},
			{"POST", "http://acme.localhost/notes", `{"text": 5}`, acme, nil, 400},
			{"POST", "http://acme.localhost/notes", `{"text": "` + strings.Repeat("x", maxBody) + `"}`, acme, nil, 413},
			{"PUT", "http://acme.localhost/notes", ``, "", nil, 405},
			{"POST", "http://acme.localhost/notes", `{"text": "stranger"}`, "", nil, 403},
			{"POST", "http://acme.localhost/notes", `{"text": "another tenant's key"}`, globex, nil, 401},
			{"POST", "http://acme.localhost/notes", `{"text": "no key"}`, acme[:len(acme)-1] + "-", nil, 401},
			{"GET", "http://globex.localhost/notes", ``, "", nil, 401},
			{"GET", "http://globex.localhost/notes", ``, acme, nil, 401},
			{"GET", "http://localhost/t/globex/notes", ``, globex, nil, 200},
			{"GET", "http://acme.localhost/notes", ``, "", []string{"X-Tenant", "globex"}, 400},
			{"GET", "http://acme.localhost/t/globex/notes", ``, "", nil, 400},
			{"GET", "http://localhost/notes", ``, "", []string{"X-Tenant", `acme"; DROP DATABASE`}, 400},
			{"GET", "http://localhost/notes", ``, "", []string{"X-Tenant", "../acme"}, 400},
			{"GET", "http://nobody.localhost/notes", ``, "", nil, 404},
			{"GET", "http://nobody.localhost/", ``, "", nil, 404},
			{"GET", "http://localhost/t/nobody/", ``, "", nil, 404},
			{"GET", "http://localhost/notes", ``, "", nil, 404},
			{"GET", "http://a_b.localhost/notes", ``, "", nil, 400},
			{"GET", "http://" + strings.Repeat("a", 10<<10) + ".localhost/notes", ``, "", nil, 400},
			{"GET", "http://localhost/", ``, "", nil, 200},
			{"GET", "http://localhost/t/acme/", ``, "", nil, 200},
		} {
			header := tt.header
			if tt.key != "" {
				header = append([]string{"X-API-Key", tt.key}, header...)
			}
			code, body := p.do(t, tt.method, tt.url, tt.body, header...)
			if code != tt.code {
				t.Errorf("%s %.60s %v: got %d %.200s, want %d", tt.method, tt.url, tt.header, code, body, tt.code)
			}
			if tt.code == 201 && !strings.Contains(body, `"text":`) {
				t.Errorf("%s %s: got %s, want the note", tt.method, tt.url, body)
			}
		}
		p.maintain(t)
		p.stop(t)

		p = start(t, bin, args...) // on the same data
		for slug, want := range map[string]string{"acme": "five,two,one", "globex": "four,three"} {
			if code, body := p.do(t, "GET", "http://"+slug+".localhost/notes", "", "X-API-Key", p.keys[slug]); code != 200 || texts(t, body) != want {
				t.Errorf("%s after a restart: got %d %s, want %s", slug, code, body, want)
			}
		}
		p.finishInFlight(t)
		t.Cleanup(func() { dropAll(t, s, args[1]) })
	})
}

// maintain closes a tenant, gets past it, and opens it again; then it asks until the
// limit of an address is reached.
func (p *process) maintain(t *testing.T) {
	t.Helper()
	const ops = "http://localhost/ops/maintenance/"
	token := "Bearer " + p.operatorKey
	expect := func(want int, method, url string, header ...string) string {
		t.Helper()
		code, body := p.do(t, method, url, "", header...)
		if code != want {
			t.Errorf("%s %s: got %d %s, want %d", method, url, code, body, want)
		}
		return body
	}
	expect(401, "POST", ops+"acme")
	expect(401, "POST", ops+"acme", "Authorization", "Bearer x"+p.operatorKey)
	expect(404, "POST", ops+"nobody", "Authorization", token)
	expect(400, "POST", ops+"acme?mode=half", "Authorization", token)
	expect(404, "POST", "http://acme.localhost/ops/maintenance/acme", "Authorization", token)

	var link map[string]string
	if err := json.Unmarshal([]byte(expect(200, "POST", ops+"acme", "Authorization", token)), &link); err != nil {
		t.Fatal(err)
	}
	if body := expect(503, "GET", "http://acme.localhost/notes"); !strings.Contains(body, "Acme is being worked on.") {
		t.Errorf("got %s, want the message", body)
	}
	expect(401, "GET", "http://globex.localhost/notes") // nothing changed for others
	r, err := http.NewRequestWithContext(t.Context(), "GET", strings.Replace(link["bypass"], "localhost", "127.0.0.1:"+p.port, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r) // without following the redirect
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if cookies := res.Cookies(); len(cookies) != 1 {
		t.Errorf("got %d, %d cookies, want one by which one passes", res.StatusCode, len(cookies))
	} else {
		expect(200, "GET", "http://localhost/t/acme/notes", "Cookie", cookies[0].Name+"="+cookies[0].Value)
	}

	expect(200, "POST", ops+"acme?mode=read_only", "Authorization", token)
	expect(200, "GET", "http://acme.localhost/notes")
	expect(503, "POST", "http://acme.localhost/notes", "X-API-Key", p.keys["acme"])
	expect(204, "DELETE", ops+"acme", "Authorization", token)
	expect(400, "POST", "http://acme.localhost/notes", "X-API-Key", p.keys["acme"]) // an empty note, but it got there

	for range 100 { // a machine that takes two seconds for each is allowed all of them
		if code, _ := p.do(t, "GET", "http://acme.localhost/notes", ""); code == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("the limit of an address was never reached")
}

// finishInFlight ends the process while a request is half sent.
func (p *process) finishInFlight(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const body = `{"text": "in flight"}`
	_, _ = fmt.Fprintf(conn, "POST /notes HTTP/1.1\r\nHost: acme.localhost\r\nX-API-Key: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", p.keys["acme"], len(body))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler reads
		t.Fatalf("got %q, %v, want 100 Continue", line, err)
	}
	_, _ = r.ReadString('\n')
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // until it no longer listens
		c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	_, _ = io.WriteString(conn, body)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "201 Created") {
		t.Errorf("the request in flight: got %q, %v, want 201 Created", line, err)
	}
	<-p.ended
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: got %v, want a clean end", err)
	}
}

// Each line that is printed on start can be pasted as it is, and does what is said.
func TestWelcome(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	p := start(t, build(t))
	text := fmt.Sprintf(welcome, "127.0.0.1:"+p.port, mustAtoi(t, p.port))
	script := fmt.Sprintf("acme=%s\nglobex=%s\noperator=%s\n", p.keys["acme"], p.keys["globex"], p.operatorKey)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-nc", line).CombinedOutput(); err != nil { // printed by the program
			t.Errorf("%s is no command: %s", line, out)
		}
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "#") {
			t.Errorf("%s: zsh knows no comments", line)
		}
		script += line
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).Output() // as above
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for line := range strings.Lines(string(out)) {
		if m := regexp.MustCompile(`^HTTP/1.1 (\d+)`).FindStringSubmatch(line); m != nil {
			codes = append(codes, m[1])
		}
	}
	if got, want := strings.Join(codes, " "), "201 201 200 401 401 400 404 503"; got != want || !strings.HasSuffix(string(out), ".429\n") {
		t.Errorf("got %s, want %s, and 429 in the end:\n%s", got, want, out)
	}
	p.stop(t)
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A temporary folder is removed at the end; an address in use is found out before
// there is one.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	bin, temp := build(t), t.TempDir()
	t.Run("ended", func(t *testing.T) {
		p := start(t, "env", "TMPDIR="+temp, bin)
		p.stop(t)
	})
	t.Run("address in use", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }()
		cmd := exec.CommandContext(t.Context(), bin, "-addr", ln.Addr().String()) // built here
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "in use") || strings.Contains(string(out), "acme=") {
			t.Errorf("got %v: %s, want that the address is in use, and no keys", err, out)
		}
	})
	if left, err := os.ReadDir(temp); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for _, args := range [][]string{
		{"-server", "oracle://scott:hunter2@127.0.0.1/"}, {"-server", "postgres://x:hunter2/y@z"}, {"-addr", "127.0.0.1:99999"}, {"-data", "/dev/null/x"},
	} {
		out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "quickstart:") || strings.Contains(string(out), "hunter2") || strings.Contains(string(out), "panic") {
			t.Errorf("%v: got %v: %s, want a clear error", args, err, out)
		}
	}
}

package admin_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const (
	password = "correct horse battery staple"
	api      = "/api/tenancy/"
)

// everything passes all limits.
type everything struct{}

func (everything) Take(context.Context, []ratelimit.Limit) (bool, error) { return true, nil }

// noSchema is of tenants without one.
type noSchema struct{}

func (noSchema) Up(context.Context, *tenancy.Tenant) error { return nil }

// console is a console over a database of its own, with two tenants, A and B.
type console struct {
	*admin.Admin
	db     *sqlx.DB
	cat    *catalog.Catalog
	trail  *audit.Trail
	store  *analytics.SQL
	runner *runs.Runner
	a, b   *tenancy.Tenant
	routes routers.Router
}

func newConsole(t *testing.T, s *tenancytest.Server, change func(*admin.Options)) *console {
	t.Helper()
	return newConsoleWith(t, s, nil, change)
}

// newConsoleWith is newConsole with a feed of present usage.
func newConsoleWith(t *testing.T, s *tenancytest.Server, feed analytics.Feed, change func(*admin.Options)) *console {
	t.Helper()
	c := &console{db: database(t, s)}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.trail, err = audit.New(c.db, nil)
	must(err)
	c.cat, err = catalog.New(c.db, &catalog.Options{Audit: c.trail, SecretSettings: []string{"smtp.password"}})
	must(err)
	c.store, err = analytics.NewSQL(c.db, nil)
	must(err)
	share := time.Duration(-1) // tests write and ask at once
	if os.Getenv("TENANCY_MEASURE") != "" {
		share = 0 // as applications have it
	}
	reports, err := analytics.NewReports(c.store, &analytics.ReportsOptions{Feed: feed, Catalog: c.cat, Share: share})
	must(err)
	c.runner, err = runs.New(c.db, c.cat, &runs.Options{Tasks: maintenance.Tasks(c.cat), Poll: 50 * time.Millisecond,
		Schedules: []runs.Schedule{{Name: "monthly", Cron: "0 3 1 * *", Task: "suspend", Spec: runs.Spec{Filter: "tag:eu"}}}})
	must(err)
	pool := s.Pool(t, nil)
	life, err := lifecycle.New(c.cat, pool, noSchema{}, nil)
	must(err)
	keys, err := catalog.NewKeyIssuer(c.cat, "test", nil)
	must(err)
	gate, err := maintenance.NewGate(c.cat, &maintenance.GateOptions{DB: c.db, Audit: c.trail, Settle: time.Millisecond})
	must(err)
	opts := &admin.Options{Lifecycle: life, Pool: pool, Migrations: schemas{}, Keys: keys, Gate: gate, Runs: c.runner, Audit: c.trail, Reports: reports, Limiter: everything{}, Create: c.cat.Create, Auth: auth.Options{OptionalSecondFactor: true}}
	opts.Auth.PasswordWait = 10 * time.Minute // a machine may be very busy
	if change != nil {
		change(opts)
	}
	c.Admin, err = admin.New(c.db, c.cat, opts)
	must(err)
	for _, migrate := range []func(context.Context) error{c.trail.Migrate, c.cat.Migrate, c.store.Migrate, c.runner.Migrate, gate.Migrate, c.Migrate} {
		must(migrate(t.Context()))
	}
	if s.Name == "sqlite" {
		must(keepMigrated(t, c.db))
	}
	c.a = c.tenant(t, "aaa", "eu")
	c.b = c.tenant(t, "bbb", "us")
	c.routes = documented(t)
	return c
}

// etag returns the ETag of a tenant's record in that version.
func etag(t *tenancy.Tenant, version int64) string {
	return `"v` + strconv.FormatInt(version, 10) + "-" + strconv.FormatInt(t.CreatedAt.UnixMicro(), 36) + `"`
}

// database returns a handle to a new database, as an application opens one for its control plane. Server.Database has one of a pool, which
// refuses to serve in a tenant's context, as tasks of runs do. On SQLite it is a copy of the first one that was migrated, if there is one.
func database(t *testing.T, s *tenancytest.Server) *sqlx.DB {
	t.Helper()
	var db *sqlx.DB
	if s.Name == "sqlite" {
		path := filepath.Join(t.TempDir(), "control.db")
		if text := migrated.Load(); text != nil {
			if err := os.WriteFile(path, *text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if db, err = sqlite.Open(path); err != nil {
			t.Fatal(err)
		}
	} else {
		to, err := s.Engine.Connector(s.Tenant(t, "control").Placement.Database)
		if err != nil {
			t.Fatal(err)
		}
		db = sqlx.NewDb(sql.OpenDB(to), s.Engine.DriverName())
		db.SetMaxOpenConns(10)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// migrated is a file of SQLite with all tables of a console, and nothing in them: to migrate takes seconds under the race detector.
var migrated atomic.Pointer[[]byte]

func keepMigrated(t *testing.T, db *sqlx.DB) error {
	t.Helper()
	if migrated.Load() != nil {
		return nil
	}
	path := filepath.Join(t.TempDir(), "migrated.db")
	if _, err := db.ExecContext(t.Context(), `VACUUM INTO ?`, path); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err == nil {
		migrated.CompareAndSwap(nil, &text)
	}
	return err
}

func (c *console) tenant(t *testing.T, slug string, tags ...string) *tenancy.Tenant {
	t.Helper()
	made, err := c.cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID("t-" + slug), Slug: slug, Status: tenancy.StatusActive, Tags: tags, Settings: map[string]string{"smtp.password": "planted-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// documented returns the router of the OpenAPI document, which is read once.
func documented(t *testing.T) routers.Router {
	t.Helper()
	router, err := document()
	if err != nil {
		t.Fatal(err)
	}
	return router
}

var document = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.json")
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// until waits for a condition that nothing announces, for minutes. No verdict depends on how long it takes.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// client is a browser on this machine, whose requests and answers must be as the document says.
type client struct {
	c       *console
	cookies map[string]string
	bearer  string // of streams
	// undocumented requests are sent without a look at the document: the answer is checked all the same.
	undocumented bool
}

func (c *console) client() *client { return &client{c: c, cookies: map[string]string{}} }

// as returns a client that is signed in as a new operator.
func (c *console) as(t *testing.T, role string, scope tenancy.Scope) *client {
	t.Helper()
	email := strings.ToLower(string(tenancy.NewID())) + "@example.com"
	if _, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: email, Role: role, Scope: scope, Password: password}); err != nil {
		t.Fatal(err)
	}
	cl := c.client()
	if a := cl.do(t, "POST", "auth/sign-in", `{"email":"`+email+`","password":"`+password+`"}`); a.code != 200 {
		t.Fatalf("sign-in: got %d %s", a.code, a.body)
	}
	return cl
}

// answer is an answer of the API.
type answer struct {
	code   int
	header http.Header
	body   string
}

// problem returns the last part of the problem's type.
func (a answer) problem() string {
	var d struct{ Type string }
	_ = json.Unmarshal([]byte(a.body), &d)
	_, name, _ := strings.Cut(d.Type, "#")
	return name
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// request returns a request of the client's. Headers are pairs of name and value.
func (cl *client) request(t *testing.T, method, path, body string, headers ...string) *http.Request {
	t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = api + path
	}
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)).WithContext(t.Context())
	r.RemoteAddr = "127.0.0.1:1234"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range cl.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (cl *client) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return cl.send(t, cl.request(t, method, path, body, headers...), body)
}

func (cl *client) send(t *testing.T, r *http.Request, body string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	cl.c.Handler().ServeHTTP(w, r)
	res := w.Result()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(cl.cookies, c.Name)
		} else {
			cl.cookies[c.Name] = c.Value
		}
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	cl.check(t, r, body, res, got)
	return answer{res.StatusCode, res.Header, string(got)}
}

// check compares request and answer with the document, and looks for what no answer may have.
func (cl *client) check(t *testing.T, r *http.Request, body string, res *http.Response, got []byte) {
	t.Helper()
	for _, secret := range []string{"planted-secret", "$argon2id$", "password_hash"} {
		if bytes.Contains(got, []byte(secret)) {
			t.Errorf("%s %s: the answer has %q", r.Method, r.URL, secret)
		}
	}
	if cl.undocumented {
		return
	}
	again := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(body)).WithContext(t.Context())
	again.Header = r.Header.Clone()
	route, params, err := cl.c.routes.FindRoute(again)
	if err != nil {
		t.Errorf("%s %s is not in the document: %v", r.Method, r.URL, err)
		return
	}
	in := &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if res.StatusCode < 400 {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s: the request is not as in the document: %v", r.Method, r.URL, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Options: in.Options}
	if kind := res.Header.Get("Content-Type"); len(got) > 0 && kind != "text/event-stream" && kind != "application/jsonl" {
		out.SetBodyBytes(got)
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
			t.Errorf("%s %s: the answer %d is not as in the document: %v\n%s", r.Method, r.URL, res.StatusCode, err, got)
		}
	}
}

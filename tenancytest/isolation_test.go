package tenancytest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

// notesApp is a handler in two versions: one that takes the tenant's database
// from the pool, and one that leaks.
type notesApp struct {
	begin func(ctx context.Context) (*sqlx.Tx, error)
}

func (a notesApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.serve(w, r); err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

func (a notesApp) serve(w http.ResponseWriter, r *http.Request) error {
	tx, err := a.begin(r.Context())
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if r.Method == http.MethodPost {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(r.Context(), `INSERT INTO notes (text) VALUES ('`+string(text)+`')`); err != nil {
			return err
		}
		if r.URL.Path == "/abort" {
			return fmt.Errorf("aborted")
		}
	}
	var texts []string
	if err := tx.SelectContext(r.Context(), &texts, `SELECT text FROM notes`); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(texts)
}

// isolation asks a handler that takes the tenant from the context.
func isolation(tenants []*tenancy.Tenant) Isolation {
	request := func(t *tenancy.Tenant, method, path, body string) *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Tenant", t.Slug)
		return r
	}
	return Isolation{
		Tenants:  tenants,
		Write:    func(t *tenancy.Tenant, secret string) *http.Request { return request(t, "POST", "/", secret) },
		Read:     func(t *tenancy.Tenant) *http.Request { return request(t, "GET", "/", "") },
		Abort:    func(t *tenancy.Tenant, secret string) *http.Request { return request(t, "POST", "/abort", secret) },
		Requests: 1000,
	}
}

// inContext puts the tenant of the header X-Tenant into the context.
func inContext(tenants []*tenancy.Tenant, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, t := range tenants {
			if t.Slug == r.Header.Get("X-Tenant") {
				next.ServeHTTP(w, r.WithContext(tenancy.NewContext(r.Context(), t)))
			}
		}
	})
}

func makeTenants(t *testing.T, s *Server, pool *dbpool.Pool) (tenants []*tenancy.Tenant) {
	t.Helper()
	for i := range 6 {
		tenant := s.Tenant(t, fmt.Sprintf("t%d", i))
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (text VARCHAR(200))`)
		tenants = append(tenants, tenant)
	}
	return tenants
}

func TestIsolationPasses(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, s *Server) {
		pool := s.Pool(t, &dbpool.Options{Budget: 2}) // tenants take each other's connections
		tenants := makeTenants(t, s, pool)
		TestIsolation(t, inContext(tenants, notesApp{func(ctx context.Context) (*sqlx.Tx, error) {
			db, err := pool.DB(ctx)
			if err != nil {
				return nil, err
			}
			return db.BeginTxx(ctx, nil)
		}}), isolation(tenants))
	})
}

// A handler that chooses the tenant by the state of a session, on connections
// that all requests share, is found out.
func TestIsolationFindsLeaks(t *testing.T) {
	t.Parallel()
	s := NewServer(t, "mysql")
	pool := s.Pool(t, &dbpool.Options{MaxConns: 4})
	tenants := makeTenants(t, s, pool)
	connector, err := s.Engine.Connector(tenants[0].Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	shared := sqlx.NewDb(sql.OpenDB(connector), s.Engine.DriverName()) // the pool's own handle refuses others' contexts
	t.Cleanup(func() { _ = shared.Close() })
	leaky := notesApp{func(ctx context.Context) (*sqlx.Tx, error) {
		tenant, err := tenancy.Require(ctx)
		if err != nil {
			return nil, err
		}
		// The mistake: whoever gets this connection next may have chosen another.
		if _, err := shared.ExecContext(ctx, "USE `"+tenant.Placement.Database+"`"); err != nil {
			return nil, err
		}
		return shared.BeginTxx(ctx, nil)
	}}
	wantFound(t, checkIsolation(t.Context(), inContext(tenants, leaky), isolation(tenants)), "shows a secret of tenant")
}

// memory is a handler with no database, for defects of other kinds.
func memory(show func(tenant string, notes map[string]string) string) http.Handler {
	notes := map[string]string{}
	lock := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "failed", http.StatusBadRequest)
			return
		}
		lock <- struct{}{}
		defer func() { <-lock }()
		tenant := r.Header.Get("X-Tenant")
		notes[tenant] += string(body) + " "
		_, _ = io.WriteString(w, show(tenant, notes))
	})
}

func TestIsolationFindsOtherDefects(t *testing.T) {
	t.Parallel()
	tenants := []*tenancy.Tenant{NewTenant("a"), NewTenant("b")}
	iso := isolation(tenants)
	own := func(tenant string, notes map[string]string) string { return notes[tenant] }
	if errs := checkIsolation(t.Context(), memory(own), iso); len(errs) > 0 {
		t.Errorf("a handler without a defect: got %v", errs)
	}
	for want, show := range map[string]func(string, map[string]string) string{
		"shows a secret of tenant": func(_ string, notes map[string]string) string { return notes["a"] + notes["b"] },
		"does not show":            func(string, map[string]string) string { return "nothing" },
		"the handler panicked":     func(string, map[string]string) string { panic("oh") },
	} {
		wantFound(t, checkIsolation(t.Context(), memory(show), iso), want)
	}
	inHeader := memory(own)
	last, lastLock := "", make(chan struct{}, 1)
	wantFound(t, checkIsolation(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lastLock <- struct{}{}
		w.Header().Set("X-Last", last)
		if r.Method == http.MethodPost {
			last = r.Header.Get("X-Secret")
		}
		<-lastLock
		inHeader.ServeHTTP(w, r)
	}), withHeader(iso)), "shows a secret of tenant")
	wantFound(t, checkIsolation(t.Context(), memory(own), Isolation{Tenants: tenants, Write: iso.Write, Read: iso.Read, Workers: -1}), "positive")
	refuses := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	wantFound(t, checkIsolation(t.Context(), refuses, iso), "got status 418")
	wantFound(t, checkIsolation(t.Context(), refuses, Isolation{}), "wants two tenants")
}

func wantFound(t *testing.T, errs []error, want string) {
	t.Helper()
	for _, err := range errs {
		if strings.Contains(err.Error(), want) {
			return
		}
	}
	t.Errorf("got %v, want an error with %q", errs, want)
}

// withHeader sends each secret in a header too.
func withHeader(iso Isolation) Isolation {
	write := iso.Write
	iso.Write = func(t *tenancy.Tenant, secret string) *http.Request {
		r := write(t, secret)
		r.Header.Set("X-Secret", secret)
		return r
	}
	return iso
}

// A handler that does not answer is found out, within its context.
func TestIsolationFindsHandlersThatHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		iso := isolation([]*tenancy.Tenant{NewTenant("a"), NewTenant("b")})
		wantFound(t, checkIsolation(t.Context(), hangs, iso), "no answer in")
	})
}

// Nobody but the harness can remove what a server would. Not parallel: it counts the
// temporary files.
func TestIsolationRemovesUploads(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	tenants := []*tenancy.Tenant{{ID: "a", Slug: "a"}, {ID: "b", Slug: "b"}}
	var body strings.Builder
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "x")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, strings.Repeat("x", 1000))
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	iso := isolation(tenants)
	iso.Abort, iso.Requests, iso.Workers = nil, 20, 2
	stored := sync.Map{} // of slug to secret
	iso.Write = func(t *tenancy.Tenant, secret string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body.String()))
		r.Header.Set("Content-Type", form.FormDataContentType())
		r.Header.Set("X-Tenant", t.Slug)
		r.Header.Set("X-Secret", secret)
		return r
	}
	uploads := atomic.Int64{}
	for _, err := range checkIsolation(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slug := r.Header.Get("X-Tenant")
		if r.Method == http.MethodPost {
			if r.ParseMultipartForm(1) == nil {
				uploads.Add(1)
			}
			stored.Store(slug, r.Header.Get("X-Secret"))
		}
		secret, _ := stored.Load(slug)
		fmt.Fprint(w, secret)
	}), iso) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || uploads.Load() == 0 {
		t.Errorf("got %d files after %d uploads, %v, want none", len(left), uploads.Load(), err)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy/admin"
)

// newConsole returns the application, and a client that is signed in as the owner of its console.
func newConsole(t *testing.T) (a *app, call func(method, path string, body any) (code int, answer string)) {
	t.Helper()
	f := &flags{lockTTL: lockTTL, data: filepath.Join(t.TempDir(), "data")}
	a, err := newApp(t.Context(), f)
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	console, err := admin.New(a.db, a.catalog, a.consoleOptions(f, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := console.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.beside(t.Context(), console.Run)
	server := httptest.NewServer(console.Handler())
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	call = func(method, path string, body any) (int, string) {
		t.Helper()
		var sent []byte
		var err error
		if body != nil {
			if sent, err = json.Marshal(body); err != nil {
				t.Fatal(err)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/tenancy/"+path, bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("X-Reason", "a test")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	token, err := console.Auth().NewSetupToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if code, answer := call(http.MethodPost, "auth/setup", map[string]string{"token": token.Reveal(), "email": "you@example.com", "name": "You", "password": "correct horse battery staple"}); code >= 300 {
		t.Fatalf("setup: got %d %s", code, answer)
	}
	return a, call
}

// history are the tables that keep what was done: entries of the audit, and events that were delivered.
var history = []string{"tenancy_audit", "tenancy_outbox"}

// rowsWith returns the tables, without those of history, that have a row with one of the words.
func rowsWith(t *testing.T, a *app, words ...string) (found []string) {
	t.Helper()
	var tables []string
	if err := a.db.Select(&tables, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if slices.Contains(history, table) {
			continue
		}
		if holds(t, a, table, words) {
			found = append(found, table)
		}
	}
	return found
}

// holds reports whether one of the words is in the table.
func holds(t *testing.T, a *app, table string, words []string) (found bool) {
	t.Helper()
	rows, err := a.db.QueryxContext(t.Context(), `SELECT * FROM "`+table+`"`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			text := fmt.Sprint(v)
			found = found || slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// A purge through the console leaves no row of the tenant: neither its record, nor what it used, who logged in, and from where.
func TestPurgeLeavesNothing(t *testing.T) {
	t.Parallel()
	app, call := newConsole(t)
	made, err := app.makeTenants(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	acme := made[0]
	service := httptest.NewServer(app.handler())
	defer service.Close()
	for _, password := range []string{"demo", "wrong"} {
		res, err := http.PostForm(service.URL+"/t/acme/login", url.Values{"user": {"jo@customer.example"}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	res, err := http.Post(service.URL+"/t/acme/notes", "text/plain", strings.NewReader(strings.Repeat("x", upload+1)))
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("a note: got %v, %v", res, err)
	}
	_ = res.Body.Close()
	words := []string{string(acme.ID), "acme", "jo@customer.example"}
	until(t, "the login is written", func() bool { return slices.Contains(rowsWith(t, app, words[2]), "tenancy_activities") })
	for _, step := range []struct {
		path string
		body any
	}{{"archive", nil}, {"purge", map[string]any{"confirm": "acme", "now": true}}} {
		if code, answer := call(http.MethodPost, "tenants/"+string(acme.ID)+"/"+step.path, step.body); code != http.StatusOK {
			t.Fatalf("%s: got %d %s", step.path, code, answer)
		}
	}
	var found []string
	until(t, fmt.Sprintf("nothing of %q is left", words), func() bool {
		found = rowsWith(t, app, words...)
		t.Logf("left in: %v", found)
		return len(found) == 0
	})
	if err := app.recorder.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is left after a flush", func() bool { // or after the keeper's next look at the catalog, which it may have read before
		found = rowsWith(t, app, words...)
		t.Logf("left after a flush in: %v", found)
		return len(found) == 0
	})
	if other := made[1]; len(rowsWith(t, app, string(other.ID))) == 0 {
		t.Errorf("got nothing of %s, want it as it was", other.Slug)
	}
}

package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// stream is an open stream: how it was answered, and its lines as they come.
type stream struct {
	*bufio.Scanner
	code   int
	header http.Header
	body   io.Closer
}

// stream opens a stream of the client's. It ends with the test.
func (cl *client) stream(t *testing.T, server *httptest.Server, topics string) *stream {
	t.Helper()
	s, err := cl.openStream(t.Context(), server, topics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.body.Close() })
	return s
}

// openStream opens a stream that the caller closes.
func (cl *client) openStream(ctx context.Context, server *httptest.Server, topics string) (*stream, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+api+"live?topics="+topics, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range cl.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if cl.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+cl.bearer)
	}
	res, err := server.Client().Do(r) //nolint:bodyclose // the caller closes it
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return &stream{lines, res.StatusCode, res.Header, res.Body}, nil
}

// A stream shows a frame at once and more after it, and ends when the operator's role is taken away. It does not keep the session alive.
func TestStream(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	o, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "op@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	cl := c.client()
	cl.do(t, "POST", "auth/sign-in", `{"email":"op@example.com","password":"`+password+`"}`)
	const seen = `SELECT last_seen_at FROM tenancy_auth_sessions`
	if _, err := c.db.Exec(`UPDATE tenancy_auth_sessions SET last_seen_at = last_seen_at - 120000000`); err != nil {
		t.Fatal(err)
	}
	var before, after int64
	if err := c.db.Get(&before, seen); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	lines := cl.stream(t, server, "overview")
	if lines.code != http.StatusOK || lines.header.Get("Content-Type") != "text/event-stream" || lines.header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("got %d %v, want a stream", lines.code, lines.header)
	}
	frames, ended := 0, false
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "data: {\"topic\":\"overview\""):
			if frames++; frames == 2 {
				disabled := true
				if _, err := c.Auth().UpdateOperator(t.Context(), o.ID, o.Version, "", auth.OperatorChange{Disabled: &disabled}); err != nil {
					t.Fatal(err)
				}
			}
		case line == "event: end":
			ended = true
		}
		if frames == 2 && after == 0 {
			after = -1
		}
		if frames == 1 && after == 0 {
			if err := c.db.Get(&after, seen); err != nil {
				t.Fatal(err)
			}
			if after != before {
				t.Errorf("got last seen %d, want %d: a stream is no activity", after, before)
			}
		}
	}
	if frames < 2 || !ended {
		t.Errorf("got %d frames and the end %v, want two and the end", frames, ended)
	}
}

func TestStreamsAreFew(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	server := httptest.NewServer(c.Handler())
	defer server.CloseClientConnections()
	for i := range 11 {
		lines := cl.stream(t, server, "overview")
		want := http.StatusOK
		if i == 10 {
			want = http.StatusTooManyRequests
		}
		if lines.code != want {
			t.Errorf("stream %d: got %d, want %d", i+1, lines.code, want)
		}
		if i < 10 {
			lines.Scan() // it is counted
		}
	}
}

// An operator does not get more streams by making tokens, and no token takes all of them.
func TestStreamsOfTokensAreFew(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	server := httptest.NewServer(c.Handler())
	defer server.CloseClientConnections()
	open := func(cl *client, who string, want int) {
		t.Helper()
		s := cl.stream(t, server, "overview")
		if s.code != want {
			t.Fatalf("%s: got %d, want %d", who, s.code, want)
		}
		if want == http.StatusOK {
			s.Scan() // it is counted
		}
	}
	for i := range 2 {
		var made struct{ Text string }
		owner.do(t, "POST", "tokens", `{"name":"screen","permissions":["analytics.read"],"ttl":3600}`).into(t, &made)
		screen := c.client()
		screen.bearer = made.Text
		for range 4 + i {
			open(screen, "a token", http.StatusOK)
		}
		if i == 1 {
			open(screen, "a token that has five", http.StatusTooManyRequests)
		}
	}
	open(owner, "the operator, whose tokens have nine", http.StatusOK)
	open(owner, "the operator, who has ten with the tokens", http.StatusTooManyRequests)
	open(c.as(t, auth.RoleViewer, tenancy.AllTenants()), "another operator", http.StatusOK)
}

// deadlines is an answer that sees whether a deadline stands while nothing is written. HTTP/2 ends a stream when one passes, and with it what follows.
type deadlines struct {
	*httptest.ResponseRecorder
	t       *testing.T
	set     bool
	writes  int
	flushed func() // after the second part
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	if d.set && !at.IsZero() {
		d.t.Error("the deadline of the part before stood until this one")
	}
	d.set = !at.IsZero()
	return nil
}

func (d *deadlines) Write(b []byte) (int, error) {
	if !d.set {
		d.t.Error("a part is written without a deadline")
	}
	d.writes++
	return d.ResponseRecorder.Write(b)
}

func (d *deadlines) FlushError() error {
	if !d.set {
		d.t.Error("a part is flushed without a deadline")
	}
	d.Flush()
	if d.writes > 1 && d.flushed != nil {
		d.flushed()
	}
	return nil
}

func TestDeadlinesAreOfParts(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for method, paths := range map[string][]string{"GET": {"live", "audit/export?format=jsonl"}, "POST": {"audit/verify"}} {
		for _, path := range paths {
			ctx, stop := context.WithCancel(t.Context())
			w := &deadlines{ResponseRecorder: httptest.NewRecorder(), t: t}
			if path == "live" {
				w.flushed = stop
			}
			c.Handler().ServeHTTP(w, owner.request(t, method, path, "", "Accept", "application/jsonl").WithContext(ctx))
			stop()
			if w.Code != http.StatusOK || w.writes < 1 {
				t.Errorf("%s: got %d with %d parts", path, w.Code, w.writes)
			}
		}
	}
}

func TestTopicsAreInScope(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
	var p planned
	cl.do(t, "POST", "actions/bulk-suspend", `{"dry_run":true,"filter":"tag:eu"}`).into(t, &p)
	mine := c.view(t, cl, `{"name":"Mine","filter":"tag:eu"}`)
	other := c.as(t, auth.RoleOperator, tenancy.ByIDs(c.b.ID))
	for topics, want := range map[string]int{"run:" + p.Plan: 404, "run:none": 404, "run:": 400, "overview,nothing": 400, "now": 400, "overview,run:none": 404,
		"tenants": 400, "tenants:": 400, "tenants:none": 404, "tenants:ids:": 400, "tenants:ids:t-aaa:A": 400, "tenants:" + mine: 404} {
		if a := other.do(t, "GET", "live?topics="+topics, ""); a.code != want {
			t.Errorf("%s: got %d %s, want %d", topics, a.code, a.body, want)
		}
	}
}

// serve answers for the console until the test ends. Streams that are opened afterwards are closed before it.
func (c *console) serve(t *testing.T) *httptest.Server {
	server := httptest.NewServer(c.Handler())
	t.Cleanup(server.Close)
	return server
}

// view saves a view and returns its ID.
func (c *console) view(t *testing.T, cl *client, body string) string {
	t.Helper()
	var v struct{ ID string }
	cl.do(t, "POST", "views", body).into(t, &v)
	return v.ID
}

// rowsFrame is a frame of a topic that has rows.
type rowsFrame struct {
	Topic   string
	Problem string
	Data    struct {
		Total   int
		Order   []string
		Tenants []struct{ ID, Status string }
	}
}

// frames calls see with each frame of the topic, until it returns false.
func (s *stream) frames(t *testing.T, topic string, see func(rowsFrame) bool) {
	t.Helper()
	for s.Scan() {
		text, isData := strings.CutPrefix(s.Text(), "data: ")
		if !isData {
			continue
		}
		var f rowsFrame
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if f.Topic == topic && !see(f) {
			return
		}
	}
	t.Errorf("%s: the stream ended: %v", topic, s.Err())
}

// The topic of a view has its tenants, those in the scope alone; later frames have those that changed.
func TestRowsAreLive(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	third := c.tenant(t, "ccc", "eu")
	c.keep(t)
	all := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	scoped := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	server := c.serve(t)
	everyone := "tenants:" + c.view(t, all, `{"name":"All","sort":"-slug"}`)
	ids := "tenants:ids:t-aaa:t-bbb:t-none"
	all.stream(t, server, everyone).frames(t, everyone, func(f rowsFrame) bool {
		if got := strings.Join(f.Data.Order, " "); got != "t-ccc t-bbb t-aaa" || f.Data.Total != 3 || len(f.Data.Tenants) != 3 {
			t.Errorf("got %+v, want all of them, sorted as the view is", f)
		}
		return false
	})
	scoped.stream(t, server, ids).frames(t, ids, func(f rowsFrame) bool {
		if got := strings.Join(f.Data.Order, " "); got != "t-aaa" || f.Data.Total != 1 {
			t.Errorf("got %+v, want the tenant of the scope alone", f)
		}
		return false
	})
	own := "tenants:" + c.view(t, scoped, `{"name":"Own","filter":"tag:eu"}`)
	seen := 0
	scoped.stream(t, server, own).frames(t, own, func(f rowsFrame) bool {
		seen++
		switch {
		case seen == 1:
			if len(f.Data.Tenants) != 2 || f.Data.Total != 2 {
				t.Errorf("got %+v, want both of the scope", f)
				return false
			}
			if _, err := c.cat.Edit(t.Context(), third.ID, func(t *tenancy.Tenant) error { t.Tags = nil; return nil }); err != nil {
				t.Error(err)
			}
			return true
		case len(f.Data.Order) == 2:
			return true // it was made before the change
		}
		if strings.Join(f.Data.Order, " ") != "t-aaa" {
			t.Errorf("got %+v, want the tenant gone that left the scope", f)
		}
		return false
	})
}

// What was shown of a row is not sent again until it is another.
func TestFramesHaveChanges(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	c.keep(t)
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	server := c.serve(t)
	const topic = "tenants:ids:t-aaa:t-bbb"
	first, quiet, changed := true, false, false
	cl.stream(t, server, topic).frames(t, topic, func(f rowsFrame) bool {
		switch {
		case first:
			first = false
		case !quiet && len(f.Data.Tenants) == 0:
			quiet = true
			if _, err := c.cat.SetStatus(t.Context(), c.b.ID, tenancy.StatusSuspended); err != nil {
				t.Error(err)
			}
		case quiet && len(f.Data.Tenants) > 0:
			changed = len(f.Data.Tenants) == 1 && f.Data.Tenants[0].ID == "t-bbb" && f.Data.Tenants[0].Status == "suspended" && len(f.Data.Order) == 2
			if !changed {
				t.Errorf("got %+v, want the one that changed", f)
			}
			return false
		}
		return true
	})
	if !changed {
		t.Error("got no change")
	}
}

// A view that is shared no more ends the streams of those who saw it by that.
func TestViewsThatAreTakenBack(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner, viewer := c.as(t, auth.RoleOwner, tenancy.AllTenants()), c.as(t, auth.RoleViewer, tenancy.AllTenants())
	view := c.view(t, owner, `{"name":"Shared","filter":"tag:eu","shared":true}`)
	server := c.serve(t)
	lines := viewer.stream(t, server, "tenants:"+view)
	took, ended := false, false
	for lines.Scan() {
		if !took && strings.HasPrefix(lines.Text(), "data: {\"topic\"") {
			took = true
			if a := owner.do(t, "PUT", "views/"+view, `{"name":"Mine","filter":"tag:eu"}`, "If-Match", `"v1"`); a.code != 200 {
				t.Errorf("got %d %s", a.code, a.body)
			}
		}
		ended = ended || lines.Text() == "event: end"
	}
	if !took || !ended {
		t.Errorf("got taken back %v, ended %v, want the stream to end", took, ended)
	}
}

// A stream ends when its token is revoked, its address is ruled out, or its operator signs out elsewhere: at the next frame.
func TestStreamsEndWithTheirRights(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, c *console, owner *client, token string){
		"a token is revoked": func(t *testing.T, _ *console, owner *client, token string) {
			if a := owner.do(t, "DELETE", "tokens/"+token, ""); a.code != 204 {
				t.Errorf("got %d %s", a.code, a.body)
			}
		},
		"an address is ruled out": func(t *testing.T, c *console, _ *client, _ string) {
			if _, err := c.db.Exec(`UPDATE tenancy_auth_documents SET body = '{"all":["192.0.2.0/24"]}' WHERE name = 'ip-rules'`); err != nil {
				t.Error(err)
			}
		},
		"sessions are ended": func(t *testing.T, c *console, _ *client, _ string) {
			if _, err := c.db.Exec(`DELETE FROM tenancy_auth_sessions`); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
			owner := c.as(t, auth.RoleOwner, tenancy.AllTenants())
			viewer := c.as(t, auth.RoleViewer, tenancy.AllTenants())
			var made struct {
				Text  string
				Token struct{ ID string }
			}
			owner.do(t, "POST", "tokens", `{"name":"screen","permissions":["analytics.read"],"ttl":3600}`).into(t, &made)
			if name == "a token is revoked" {
				viewer = c.client()
				viewer.bearer = made.Text
			}
			server := httptest.NewServer(c.Handler())
			defer server.Close()
			lines := viewer.stream(t, server, "overview")
			if lines.code != http.StatusOK {
				t.Fatalf("got %d, want a stream", lines.code)
			}
			lost, ended := false, false
			for lines.Scan() {
				if !lost && strings.HasPrefix(lines.Text(), "data: ") {
					lost = true
					lose(t, c, owner, made.Token.ID)
				}
				ended = ended || lines.Text() == "event: end"
			}
			if !lost || !ended {
				t.Errorf("got lost %v, ended %v, want the stream to end", lost, ended)
			}
		})
	}
}

package admin_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Over HTTP, a verification names the entry that somebody altered in the database.
func TestVerifyNamesTheRow(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		type report struct {
			Whole bool
			UpTo  int64 `json:"up_to"`
			Fault *struct {
				Kind   string
				Number int64
			}
		}
		var before, after report
		cl.do(t, "POST", "audit/verify", "").into(t, &before)
		if !before.Whole || before.UpTo < 3 || before.Fault != nil {
			t.Fatalf("got %+v, want it whole", before)
		}
		if _, err := c.db.Exec(`UPDATE tenancy_audit SET action = 'tenant.purge' WHERE number = 2`); err != nil {
			t.Fatal(err)
		}
		cl.do(t, "POST", "audit/verify", "").into(t, &after)
		if after.Whole || after.Fault == nil || after.Fault.Kind != "altered" || after.Fault.Number != 2 || after.UpTo != 1 {
			t.Errorf("got %+v, want entry 2 altered", after)
		}
	})
}

// A client that accepts lines gets the progress first and the verdict last.
func TestVerifyStreams(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	a := cl.do(t, "POST", "audit/verify", "", "Accept", "application/jsonl")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if a.code != 200 || a.header.Get("Content-Type") != "application/jsonl" || len(lines) < 2 || !strings.HasPrefix(lines[0], `{"number":0,"last":`) ||
		!strings.HasPrefix(lines[len(lines)-1], `{"whole":true,"up_to":`) {
		t.Errorf("got %d %s, want progress and the verdict", a.code, a.body)
	}
}

// slow is a client that takes nothing of an answer until it is released.
type slow struct {
	*httptest.ResponseRecorder
	began, release chan struct{}
	once           sync.Once
}

func (s *slow) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.began) })
	<-s.release
	return s.ResponseRecorder.Write(b)
}

// Each verification reads the whole audit: an operator has one at once, with their tokens, and an instance four.
func TestVerificationsAreFew(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	release := make(chan struct{})
	var all sync.WaitGroup
	var operators []*client
	for range 4 {
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		operators = append(operators, cl)
		w := &slow{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{}), release: release}
		r := cl.request(t, "POST", "audit/verify", "", "Accept", "application/jsonl")
		all.Go(func() {
			c.Handler().ServeHTTP(w, r)
			if !strings.Contains(w.Body.String(), `"whole":true`) {
				t.Errorf("got %d %s, want a verdict", w.Code, w.Body)
			}
		})
		<-w.began
		if a := cl.do(t, "POST", "audit/verify", ""); a.code != 429 || a.problem() != "limited" || a.header.Get("Retry-After") == "" {
			t.Errorf("a second one of the operator: got %d %v %s, want 429", a.code, a.header, a.body)
		}
	}
	var made struct{ Text string }
	operators[0].do(t, "POST", "tokens", `{"name":"check","permissions":["audit.verify"],"ttl":3600}`).into(t, &made)
	if a := c.client().do(t, "POST", "audit/verify", "", "Authorization", "Bearer "+made.Text); a.code != 429 {
		t.Errorf("by a token of the operator's: got %d %s, want 429", a.code, a.body)
	}
	fifth := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := fifth.do(t, "POST", "audit/verify", ""); a.code != 429 {
		t.Errorf("a fifth one: got %d %s, want 429", a.code, a.body)
	}
	close(release)
	all.Wait()
	for i, cl := range append(operators, fifth) {
		if a := cl.do(t, "POST", "audit/verify", ""); a.code != 200 {
			t.Errorf("operator %d, when the others are done: got %d %s, want 200", i, a.code, a.body)
		}
	}
}

// One entry is read by its ID; one about another tenant, and one about the service, are not found in a smaller scope. Entries are found by text.
func TestOneEntry(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	owner, scoped := c.as(t, auth.RoleOwner, tenancy.AllTenants()), c.as(t, auth.RoleOwner, tenancy.ByIDs(c.a.ID))
	owner.do(t, "POST", "tenants/t-bbb/suspend", "", "X-Reason", "Does not pay")
	var found struct {
		Entries []struct {
			ID, Reason string
			Number     int64
		}
	}
	owner.do(t, "GET", "audit?text=does+NOT", "").into(t, &found)
	if len(found.Entries) != 1 || found.Entries[0].Reason != "Does not pay" {
		t.Fatalf("got %+v, want the one with this reason", found)
	}
	path := "audit/" + found.Entries[0].ID
	a := owner.do(t, "GET", path, "")
	if a.code != 200 || !strings.Contains(a.body, `"action":"tenant.status"`) || !strings.Contains(a.body, `"tenant":"t-bbb"`) || a.header.Get("ETag") == "" {
		t.Errorf("got %d %s, want the entry", a.code, a.body)
	}
	owner.do(t, "GET", "audit?action=session.sign_in", "").into(t, &found)
	none := scoped.do(t, "GET", "audit/none", "")
	for _, path := range []string{path, "audit/" + found.Entries[0].ID, "audit/%20"} {
		if a := scoped.do(t, "GET", path, ""); a.code != 404 || a.problem() != none.problem() {
			t.Errorf("%s in the scope of A: got %d %s, want what an unknown one gets", path, a.code, a.body)
		}
	}
	scoped.do(t, "GET", "audit?tenant=t-aaa", "").into(t, &found)
	if a := scoped.do(t, "GET", "audit/"+found.Entries[0].ID, ""); a.code != 200 || strings.Contains(a.body, `"number"`) {
		t.Errorf("in the scope of A: got %d %s, want the entry without its number", a.code, a.body)
	}
}

// What operators decide about the audit's retention is carried out: what is older is removed, and the rest is whole.
func TestRetention(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	put := func(body string) answer {
		cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
		return cl.do(t, "PUT", "settings", body, "If-Match", cl.do(t, "GET", "settings", "").header.Get("ETag"))
	}
	if a := put(`{"audit_retention":2592000}`); a.problem() != "validation" || !strings.Contains(a.body, "not-configured") {
		t.Errorf("without a key: got %d %s, want it refused", a.code, a.body)
	}
	trail, err := audit.New(c.db, &audit.Options{Key: key, Keep: 100 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Audit: trail, Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{"audit_retention":86400}`, `{"audit_retention":8726400}`} { // a day, and 101 days
		if a := put(body); a.problem() != "validation" || !strings.Contains(a.body, "range") {
			t.Errorf("%s: got %d %s, want it out of range", body, a.code, a.body)
		}
	}
	if a := put(`{"audit_retention":2592000}`); a.code != 200 || !strings.Contains(a.body, `"audit_retention":8640000`) {
		t.Errorf("got %d %s, want 30 days beside the trail's 100", a.code, a.body)
	}
	// The checkpoint is of 40 days ago: its time is signed, as the trail signs it.
	if err := trail.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := trail.Checkpoints(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("got %+v, %v, want one", all, err)
	}
	old := all[0]
	old.Time = old.Time.Add(-40 * 24 * time.Hour)
	if _, err := c.db.Exec(`UPDATE tenancy_audit_checkpoints SET time = ?, signature = ?`, old.Time.UnixMicro(), base64.StdEncoding.EncodeToString(ed25519.Sign(key, old.Message()))); err != nil {
		t.Fatal(err)
	}
	c.RunOnce(t.Context())
	report, err := trail.Verify(t.Context())
	if err != nil || report.Fault != nil || report.Cut != old.Number {
		t.Errorf("got %+v, %v, want it cut at %d and whole", report, err, old.Number)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	if a := cl.do(t, "GET", "audit?action=audit.cut", ""); !strings.Contains(a.body, `"reason":"older than 720h0m0s"`) {
		t.Errorf("got %s, want the entry of the cut", a.body)
	}
	if a := cl.do(t, "POST", "audit/verify", ""); !strings.Contains(a.body, `"cut":`) {
		t.Errorf("got %s, want where it was cut", a.body)
	}
}

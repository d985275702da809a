package audit_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// open returns an audit in a database of its own, and a catalog that writes to it.
func open(t *testing.T, s *tenancytest.Server) (*sqlx.DB, *audit.Trail, *catalog.Catalog) {
	t.Helper()
	db := s.Database(t)
	trail, err := audit.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.New(db, &catalog.Options{Audit: trail, SecretSettings: []string{"password"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []interface{ Migrate(context.Context) error }{trail, cat} {
		if err := m.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return db, trail, cat
}

func list(t *testing.T, cat *catalog.Catalog, f catalog.AuditFilter) (all []tenancy.Entry) {
	t.Helper()
	for e, err := range cat.Audit(t.Context(), f) {
		if err != nil {
			t.Fatalf("Audit: %v", err)
		}
		all = append(all, e)
	}
	return all
}

func verify(t *testing.T, trail *audit.Trail) *audit.Report {
	t.Helper()
	report, err := trail.Verify(t.Context())
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return report
}

func wantWhole(t *testing.T, trail *audit.Trail, entries int64) {
	t.Helper()
	report := verify(t, trail)
	if report.Fault != nil || report.Entries != entries || report.Number != entries {
		t.Errorf("Verify: got %+v, fault %v, want %d entries without a fault", report, report.Fault, entries)
	}
}

func execute(t *testing.T, db *sqlx.DB, query string, args ...any) {
	t.Helper()
	res, err := db.ExecContext(t.Context(), db.Rebind(query), args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

func change(field, before, after string) tenancy.FieldChange {
	return tenancy.FieldChange{Field: field, Before: json.RawMessage(before), After: json.RawMessage(after)}
}

var ada = tenancy.Actor{
	Kind: tenancy.ActorOperator, ID: "ada", Address: netip.MustParseAddr("2001:db8::7"), UserAgent: `Mozilla "5.0"`, RequestID: "r-1",
	Reason: "Rechnung überfällig \\ 😀",
}

func TestStatusIsAudited(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, cat := open(t, s)
		ctx := tenancy.WithActor(t.Context(), ada)
		acme, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusActive})
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, trail, 1) // so that numbers follow the order of the changes
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "bolt", Slug: "bolt"}); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, trail, 2)
		before := time.Now().Add(-time.Microsecond)
		if _, err := cat.SetStatus(ctx, acme.ID, tenancy.StatusSuspended); err != nil {
			t.Fatal(err)
		}
		if _, err := cat.SetStatus(ctx, acme.ID, tenancy.StatusSuspended); err != nil { // changes nothing
			t.Fatal(err)
		}
		got := list(t, cat, catalog.AuditFilter{Tenant: "acme"})
		want := []tenancy.Entry{
			{Actor: ada, Action: "tenant.status", Tenant: "acme", Result: tenancy.AuditDone, Count: 1,
				Changes: []tenancy.FieldChange{change("status", `"active"`, `"suspended"`)}},
			{Actor: tenancy.Actor{Kind: tenancy.ActorUnknown}, Action: "tenant.create", Tenant: "acme", Result: tenancy.AuditDone, Count: 1,
				Changes: []tenancy.FieldChange{change("name", "", `"acme"`), change("slug", "", `"acme"`), change("status", "", `"active"`)}},
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(tenancy.Entry{}, "ID", "Time", "Number")); diff != "" {
			t.Fatalf("entries: -want +got\n%s", diff)
		}
		if got[0].Time.Before(before) || got[0].Time.After(time.Now()) {
			t.Errorf("got an entry at %v, want now", got[0].Time)
		}
		wantWhole(t, trail, 3)
		if sealed := list(t, cat, catalog.AuditFilter{Tenant: "acme"}); sealed[0].Number != 3 || sealed[1].Number != 1 {
			t.Errorf("got the numbers %d and %d, want 3 and 1", sealed[0].Number, sealed[1].Number)
		}

		execute(t, db, `UPDATE tenancy_audit SET actor_id = 'eve' WHERE id = ?`, got[0].ID)
		report := verify(t, trail)
		if f := report.Fault; f == nil || f.Kind != audit.FaultAltered || f.Number != 3 || f.Entry != got[0].ID || report.Number != 2 {
			t.Errorf("Verify: got %+v, fault %v, want entry 3 altered", report, f)
		}
		execute(t, db, `UPDATE tenancy_audit SET actor_id = 'ada' WHERE id = ?`, got[0].ID)
		wantWhole(t, trail, 3)
	})
}

// failing is an auditor whose entries cannot be written.
type failing struct{ err error }

func (f failing) Audit(context.Context, *sql.Tx, tenancy.Entry) error { return f.err }

// Without an entry there is no change.
func TestNoEntryNoChange(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, cat := open(t, s)
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusProvisioning}); err != nil {
			t.Fatal(err)
		}
		for _, cause := range []error{errors.New("full"), tenancy.ErrExists, tenancy.ErrConflict, tenancy.ErrInvalid, tenancy.ErrNotFound} {
			cat, err := catalog.New(db, &catalog.Options{Audit: failing{cause}})
			if err != nil {
				t.Fatal(err)
			}
			_, created := cat.Create(t.Context(), &tenancy.Tenant{ID: "bolt", Slug: "bolt", Domains: []string{"bolt.example"}, Tags: []string{"eu"}})
			_, changed := cat.SetStatus(t.Context(), "acme", tenancy.StatusInactive)
			for what, err := range map[string]error{"Create": created, "SetStatus": changed, "Delete": cat.Delete(t.Context(), "acme")} {
				if !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, tenancy.ErrExists) || errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("%s with an auditor that says %v: got %v, want ErrUnavailable", what, cause, err)
				}
			}
		}
		acme, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "acme"})
		if err != nil || acme.Status != tenancy.StatusProvisioning || acme.Version != 1 {
			t.Errorf("got %+v, %v, want the tenant as it was", acme, err)
		}
		if _, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "bolt"}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("got %v, want no tenant", err)
		}
		if err := cat.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, trail, 2)
	})
}

// A change that is refused leaves no entry that says it was done.
func TestNoChangeNoEntry(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		_, _, cat := open(t, s)
		for range 2 { // the second is refused
			_, _ = cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme", Domains: []string{"acme.example"}})
		}
		_, _ = cat.Create(t.Context(), &tenancy.Tenant{ID: "bolt", Slug: "bolt", Domains: []string{"acme.example"}})
		_, _ = cat.Rename(t.Context(), "nobody", "x")
		done := list(t, cat, catalog.AuditFilter{Results: []tenancy.AuditResult{tenancy.AuditDone}})
		if len(done) != 1 || done[0].Tenant != "acme" {
			t.Errorf("got %+v, want the entry of one creation", done)
		}
	})
}

// Each changed column of an entry is found, and so is an entry that was removed,
// moved or added.
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, _ := open(t, s)
		const n = 25
		ids := make([]string, n+1)
		for i := 1; i <= n; i++ {
			e := tenancy.NewEntry(tenancy.WithActor(t.Context(), ada), "tenant.status", "acme")
			e.Object, e.Problem = "key", "none"
			e.Changes = []tenancy.FieldChange{change("status", `"a"`, fmt.Sprint(i))}
			if err := trail.Audit(t.Context(), nil, e); err != nil {
				t.Fatal(err)
			}
			ids[i] = e.ID
			wantWhole(t, trail, int64(i)) // so that numbers follow the order in which they were written
		}
		const at = 12
		set := func(column string, value any) []any {
			return []any{`UPDATE tenancy_audit SET ` + column + ` = ? WHERE number = 12`, value}
		}
		added := func(number int) []any { // a copy of an entry
			return []any{`INSERT INTO tenancy_audit SELECT 'added', ` + fmt.Sprint(number) + `, hash, time, actor_kind, actor_id, actor_address, user_agent,
				request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = ?`, at}
		}
		for what, tt := range map[string]struct {
			do     []any
			kind   audit.FaultKind
			number int64
		}{
			"id":             {set("id", "other"), audit.FaultAltered, at},
			"time":           {set("time", 1790000000000001), audit.FaultAltered, at},
			"actor_kind":     {set("actor_kind", "system"), audit.FaultAltered, at},
			"actor_id":       {set("actor_id", "adb"), audit.FaultAltered, at},
			"actor_address":  {set("actor_address", "2001:db8::8"), audit.FaultAltered, at},
			"user_agent":     {set("user_agent", `Mozilla "5.1"`), audit.FaultAltered, at},
			"request_id":     {set("request_id", "r-2"), audit.FaultAltered, at},
			"reason":         {set("reason", ""), audit.FaultAltered, at},
			"queued":         {set("queued", 1), audit.FaultAltered, at},
			"queued, odd":    {set("queued", 2), audit.FaultAltered, at},
			"action":         {set("action", "tenant.statut"), audit.FaultAltered, at},
			"tenant_id":      {set("tenant_id", "acmf"), audit.FaultAltered, at},
			"object":         {set("object", "kex"), audit.FaultAltered, at},
			"result":         {set("result", "denied"), audit.FaultAltered, at},
			"problem":        {set("problem", "nonf"), audit.FaultAltered, at},
			"times":          {set("times", 2), audit.FaultAltered, at},
			"changes":        {set("changes", `[{"after":"13","before":"\"a\"","field":"status"}]`), audit.FaultAltered, at},
			"a space":        {set("changes", `[{"after":"12","before":"\"a\"", "field":"status"}]`), audit.FaultAltered, at},
			"no JSON":        {set("changes", `[`), audit.FaultAltered, at},
			"hash":           {set("hash", "0000000000000000000000000000000000000000000000000000000000000001"), audit.FaultAltered, at},
			"no hash":        {set("hash", nil), audit.FaultAltered, at},
			"number":         {set("number", 13000), audit.FaultMissing, at},
			"negative":       {set("number", -12), audit.FaultMissing, at},
			"added":          {[]any{`UPDATE tenancy_audit SET number = ? WHERE number = 25`, 26}, audit.FaultMissing, n},
			"added behind":   {added(26), audit.FaultAdded, 26},
			"added in front": {added(0), audit.FaultAdded, 0},
			"moved":          {[]any{`UPDATE tenancy_audit SET number = CASE number WHEN 12 THEN -13 ELSE ? END WHERE number IN (12, 13)`, -12}, audit.FaultMissing, at},
			"removed":        {[]any{`DELETE FROM tenancy_audit WHERE number = ?`, at}, audit.FaultMissing, at},
			"first removed":  {[]any{`DELETE FROM tenancy_audit WHERE number < ?`, 3}, audit.FaultMissing, 1},
			"last removed":   {[]any{`DELETE FROM tenancy_audit WHERE number > ?`, 23}, audit.FaultMissing, 24},
			"head's number":  {[]any{`UPDATE tenancy_audit_head SET number = ?`, 24}, audit.FaultHead, 24},
			"head's hash":    {[]any{`UPDATE tenancy_audit_head SET hash = ?`, "x"}, audit.FaultHead, n},
			"no head":        {[]any{`DELETE FROM tenancy_audit_head WHERE id = ?`, 1}, audit.FaultHead, 0},
		} {
			undo := snapshot(t, db)
			execute(t, db, tt.do[0].(string), tt.do[1:]...)
			f := verify(t, trail).Fault
			if f == nil || f.Kind != tt.kind || f.Number != tt.number {
				t.Errorf("%s: got %v, want entry %d %s", what, f, tt.number, tt.kind)
			}
			if f != nil && f.Kind == audit.FaultAltered && f.Entry != ids[at] && what != "id" {
				t.Errorf("%s: got entry %q, want %q", what, f.Entry, ids[at])
			}
			undo()
			wantWhole(t, trail, n)
		}
	})
}

// readTable returns the columns of a table and all its rows.
func readTable(t *testing.T, db *sqlx.DB, table string) (columns []string, all [][]any) {
	t.Helper()
	rows, err := db.QueryxContext(t.Context(), `SELECT * FROM `+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if columns, err = rows.Columns(); err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		row, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = string(b)
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return columns, all
}

// snapshot returns a function that puts the tables back.
func snapshot(t *testing.T, db *sqlx.DB) func() {
	t.Helper()
	var restore []func()
	for _, table := range []string{"tenancy_audit", "tenancy_audit_head", "tenancy_audit_checkpoints", "tenancy_audit_cut"} {
		columns, all := readTable(t, db, table)
		restore = append(restore, func() {
			if _, err := db.ExecContext(t.Context(), `DELETE FROM `+table); err != nil {
				t.Fatal(err)
			}
			for _, row := range all {
				query, args, err := sqlx.In(`INSERT INTO `+table+` (`+join(columns)+`) VALUES (?)`, row)
				if err != nil {
					t.Fatal(err)
				}
				execute(t, db, query, args...)
			}
		})
	}
	return func() {
		for _, each := range restore {
			each()
		}
	}
}

func join(columns []string) string {
	out := ""
	for i, c := range columns {
		if i > 0 {
			out += ", "
		}
		out += c
	}
	return out
}

// Many writers and sealers at once make one chain.
func TestWritersAndSealers(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, cat := open(t, s)
		other, err := audit.New(db, &audit.Options{SealEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var sealers, writers sync.WaitGroup
		for range 2 {
			sealers.Go(func() {
				if err := other.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		const each = 10
		for i := range 16 {
			writers.Go(func() {
				id := tenancy.ID(fmt.Sprintf("t%02d", i))
				if _, err := cat.Create(ctx, &tenancy.Tenant{ID: id, Slug: string(id)}); err != nil {
					t.Errorf("Create: %v", err)
				}
				for n := range each {
					if _, err := cat.AddDomain(ctx, id, fmt.Sprintf("d%d.%s.example", n, id)); err != nil {
						t.Errorf("AddDomain: %v", err)
					}
				}
				if i%4 == 0 {
					if _, err := trail.Verify(ctx); err != nil { // which seals
						t.Errorf("Verify: %v", err)
					}
				}
			})
		}
		writers.Wait()
		cancel()
		sealers.Wait()
		wantWhole(t, trail, 16*(each+1))
	})
}

func TestEntriesFilters(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		_, trail, cat := open(t, s)
		for _, id := range []string{"acme", "bolt"} {
			if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(id), Slug: id, Tags: []string{"of-" + id}}); err != nil {
				t.Fatal(err)
			}
		}
		ctx := tenancy.WithActor(t.Context(), ada)
		for i, e := range []tenancy.Entry{
			tenancy.NewEntry(ctx, "key.issue", "acme"), tenancy.NewEntry(ctx, "key.revoke", "bolt"), tenancy.NewEntry(ctx, "service.start", ""),
		} {
			e.Time = time.Date(2030, 1, i+1, 0, 0, 0, 0, time.UTC)
			if i == 1 {
				e.Result, e.Object, e.Actor.Reason, e.Problem = tenancy.AuditDenied, "50%_Key", "Größe ÄRGER", "für Bolt"
			}
			if err := trail.Audit(ctx, nil, e); err != nil {
				t.Fatal(err)
			}
		}
		day := func(d int) time.Time { return time.Date(2030, 1, d, 0, 0, 0, 0, time.UTC) }
		scope := func(s tenancy.Scope) *tenancy.Scope { return &s }
		for what, tt := range map[string]struct {
			f    catalog.AuditFilter
			want string
		}{
			"all":                         {catalog.AuditFilter{}, "[service.start key.revoke key.issue tenant.create tenant.create]"},
			"oldest first":                {catalog.AuditFilter{OldestFirst: true, From: day(1)}, "[key.issue key.revoke service.start]"},
			"limit":                       {catalog.AuditFilter{Limit: 2}, "[service.start key.revoke]"},
			"tenant":                      {catalog.AuditFilter{Tenant: "bolt"}, "[key.revoke tenant.create]"},
			"actor":                       {catalog.AuditFilter{ActorID: "ada", ActorKind: tenancy.ActorOperator}, "[service.start key.revoke key.issue]"},
			"kind":                        {catalog.AuditFilter{ActorKind: tenancy.ActorUnknown}, "[tenant.create tenant.create]"},
			"actions":                     {catalog.AuditFilter{Actions: []string{"key.issue", "key.revoke"}}, "[key.revoke key.issue]"},
			"result":                      {catalog.AuditFilter{Results: []tenancy.AuditResult{tenancy.AuditDenied}}, "[key.revoke]"},
			"between":                     {catalog.AuditFilter{From: day(1).Add(1), Before: day(3)}, "[key.revoke]"},
			"scope of all":                {catalog.AuditFilter{Scope: scope(tenancy.AllTenants()), From: day(1)}, "[service.start key.revoke key.issue]"},
			"scope of nobody":             {catalog.AuditFilter{Scope: scope(tenancy.Scope{})}, "[]"},
			"scope of IDs":                {catalog.AuditFilter{Scope: scope(tenancy.ByIDs("acme", "none"))}, "[key.issue tenant.create]"},
			"scope of tags":               {catalog.AuditFilter{Scope: scope(tenancy.ByTags("of-bolt", "none"))}, "[key.revoke tenant.create]"},
			"text":                        {catalog.AuditFilter{Text: "KEY.RE"}, "[key.revoke]"},
			"text of several":             {catalog.AuditFilter{Text: "acme"}, "[key.issue tenant.create]"},
			"text, wildcards":             {catalog.AuditFilter{Text: "0%_k"}, "[key.revoke]"},
			"text, not ASCII":             {catalog.AuditFilter{Text: "größe"}, "[key.revoke]"},
			"text, as it is":              {catalog.AuditFilter{Text: "ÄRGER"}, "[key.revoke]"},
			"text, ASCII in another case": {catalog.AuditFilter{Text: "Ärger"}, "[key.revoke]"},
			"text of a problem":           {catalog.AuditFilter{Text: "für BOLT"}, "[key.revoke]"},
			"text of no one":              {catalog.AuditFilter{Text: "k_y"}, "[]"},
			"ID of no one":                {catalog.AuditFilter{ID: "none"}, "[]"},
			"scope, tenant":               {catalog.AuditFilter{Scope: scope(tenancy.ByIDs("acme")), Tenant: "bolt"}, "[]"},
		} {
			actions := []string{}
			for _, e := range list(t, cat, tt.f) {
				actions = append(actions, e.Action)
			}
			if got := fmt.Sprint(actions); got != tt.want {
				t.Errorf("%s: got %s, want %s", what, got, tt.want)
			}
		}
		one := list(t, cat, catalog.AuditFilter{Actions: []string{"key.issue"}})[0]
		if got := list(t, cat, catalog.AuditFilter{ID: one.ID}); len(got) != 1 || got[0].ID != one.ID {
			t.Errorf("one ID: got %+v, want %s", got, one.ID)
		}
		if got := list(t, cat, catalog.AuditFilter{ID: one.ID, Scope: scope(tenancy.ByIDs("bolt"))}); len(got) != 0 {
			t.Errorf("one ID outside of the scope: got %+v", got)
		}
		for what, f := range map[string]catalog.AuditFilter{
			"tenant": {Tenant: "A"}, "result": {Results: []tenancy.AuditResult{"odd"}}, "kind": {ActorKind: "root"}, "actor": {ActorID: "\xff"},
			"action": {Actions: []string{"'"}}, "limit": {Limit: -1}, "text": {Text: "\xff"}, "ID": {ID: "é'"}, "NUL": {Text: "\x00"}, "long": {Text: strings.Repeat("a", 201)},
		} {
			for _, err := range cat.Audit(t.Context(), f) {
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("%s: got %v, want ErrInvalid", what, err)
				}
			}
		}
	})
}

// More entries than a page has come once each and in order.
func TestEntriesPages(t *testing.T) {
	t.Parallel()
	_, trail, cat := open(t, tenancytest.NewServer(t, "sqlite"))
	const n = 1203
	same := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for range n {
		e := tenancy.NewEntry(t.Context(), "tenant.status", "acme")
		e.Time = same
		if err := trail.Audit(t.Context(), nil, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, oldest := range []bool{false, true} {
		seen := map[string]bool{}
		last := ""
		for _, e := range list(t, cat, catalog.AuditFilter{OldestFirst: oldest}) {
			if last != "" && (e.ID > last) != oldest {
				t.Fatalf("got %s after %s", e.ID, last)
			}
			last, seen[e.ID] = e.ID, true
		}
		if len(seen) != n {
			t.Errorf("got %d entries, want %d", len(seen), n)
		}
	}
	if got := len(list(t, cat, catalog.AuditFilter{Limit: 700})); got != 700 {
		t.Errorf("got %d entries, want 700", got)
	}
	wantWhole(t, trail, n)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	db, trail, _ := open(t, s)
	if _, err := audit.New(nil, nil); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no database: got %v, want ErrInvalid", err)
	}
	if _, err := audit.New(db, &audit.Options{SealEvery: -1}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("SealEvery: got %v, want ErrInvalid", err)
	}
	for name, opts := range map[string]audit.Options{
		"a sink without a key":             {Sink: func(context.Context, audit.Checkpoint) error { return nil }},
		"checkpoints without a key":        {CheckpointEvery: time.Minute},
		"entries that end without a key":   {Keep: time.Hour},
		"a key that is too short":          {Key: make([]byte, 31)},
		"an earlier key that is too short": {OldKeys: []ed25519.PublicKey{make([]byte, 31)}},
	} {
		if _, err := audit.New(db, &opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := catalog.New(s.Database(t), &catalog.Options{Audit: trail}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a catalog in another database: got %v, want ErrInvalid", err)
	}
	e := tenancy.NewEntry(t.Context(), "tenant.status", "acme")
	e.Number = 7
	if err := trail.Audit(t.Context(), nil, e); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an entry with a number: got %v, want ErrInvalid", err)
	}
	if err := trail.Audit(t.Context(), nil, tenancy.Entry{}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("the zero entry: got %v, want ErrInvalid", err)
	}
	for _, err := range tenancytest.NewCatalog(t).Audit(t.Context(), catalog.AuditFilter{}) {
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a catalog without an auditor: got %v, want ErrInvalid", err)
		}
	}
}

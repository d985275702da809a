package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// add writes n entries.
func add(t *testing.T, trail *audit.Trail, n int) {
	t.Helper()
	for range n {
		if err := trail.Audit(t.Context(), nil, tenancy.NewEntry(tenancy.WithActor(t.Context(), ada), "tenant.plan", "acme")); err != nil {
			t.Fatal(err)
		}
	}
}

// A cut leaves the rest whole, is itself in the audit, and whoever has no key cannot
// make one.
func TestCut(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, public := signed(t, s, audit.Options{}) // checkpoints at 3 and 5, entry 6
		if n, err := trail.Cut(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Fatalf("nothing is old: got %d, %v", n, err)
		}
		all, err := trail.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if err := trail.Export(t.Context(), &whole); err != nil {
			t.Fatal(err)
		}
		ctx := tenancy.WithActor(t.Context(), ada)
		if n, err := trail.Cut(ctx, all[1].Time); n != 3 || err != nil { // before the second, which is not
			t.Fatalf("Cut: got %d, %v, want 3", n, err)
		}
		report := verify(t, trail)
		if report.Fault != nil || report.Cut != 3 || report.Entries != 4 || report.Number != 7 || report.Signed != 5 {
			t.Fatalf("got %+v, fault %v, want 4 entries behind 3", report, report.Fault)
		}
		var last tenancy.Entry
		for e, err := range trail.Entries(t.Context(), audit.Filter{Actions: []string{"audit.cut"}}) {
			if err != nil {
				t.Fatal(err)
			}
			last = e
		}
		if last.Actor.ID != ada.ID || len(last.Changes) != 1 || string(last.Changes[0].Before)+">"+string(last.Changes[0].After) != "0>3" {
			t.Errorf("got the entry %+v", last)
		}
		var export bytes.Buffer
		if err := trail.Export(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		for what, tt := range map[string]struct {
			text string
			kind audit.FaultKind
		}{
			"as it is":      {export.String(), ""},
			"from before":   {whole.String(), ""},
			"another cut":   {strings.Replace(export.String(), `"number":3`, `"number":4`, 1), audit.FaultCut},
			"no cut":        {export.String()[strings.Index(export.String(), "\n")+1:], audit.FaultMissing},
			"cut elsewhere": {strings.Replace(export.String(), "\n{", "\n{\"x\":1,", 1), audit.FaultCheckpoint},
		} {
			report, err := audit.VerifyExport(strings.NewReader(tt.text), all, public)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := kindOf(report.Fault); got != tt.kind {
				t.Errorf("export, %s: got %v, want %q", what, report.Fault, tt.kind)
			}
		}
		for what, tt := range map[string]struct {
			do     []string
			kind   audit.FaultKind
			number int64
		}{
			"no cut":          {[]string{`DELETE FROM tenancy_audit_cut WHERE id = 1`}, audit.FaultMissing, 1},
			"cut further":     {[]string{`DELETE FROM tenancy_audit WHERE number <= 5`, `UPDATE tenancy_audit_cut SET number = 5, hash = (SELECT hash FROM tenancy_audit_checkpoints WHERE number = 5)`}, audit.FaultCut, 5},
			"removed behind":  {[]string{`DELETE FROM tenancy_audit WHERE number = 4`}, audit.FaultMissing, 4},
			"tail":            {[]string{`DELETE FROM tenancy_audit WHERE number > 5`}, audit.FaultMissing, 6},
			"tail, head back": {[]string{`DELETE FROM tenancy_audit WHERE number > 4`, `UPDATE tenancy_audit_head SET number = 4, hash = (SELECT hash FROM tenancy_audit WHERE number = 4)`}, audit.FaultMissing, 5},
			"all":             {[]string{`DELETE FROM tenancy_audit WHERE number > 3`, `UPDATE tenancy_audit_head SET number = 3, hash = (SELECT hash FROM tenancy_audit_cut WHERE id = 1)`}, audit.FaultMissing, 4},
			"head before":     {[]string{`UPDATE tenancy_audit_head SET number = 2`}, audit.FaultHead, 2},
			"inserted": {[]string{`INSERT INTO tenancy_audit SELECT 'added', 2, hash, time, actor_kind, actor_id, actor_address, user_agent,
				request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = 4`}, audit.FaultAdded, 2},
			"altered": {[]string{`UPDATE tenancy_audit SET actor_id = 'adb' WHERE number = 4`}, audit.FaultAltered, 4},
			"another": {[]string{`UPDATE tenancy_audit_cut SET trail = 'x'`}, audit.FaultCut, 3},
		} {
			undo := snapshot(t, db)
			for _, query := range tt.do {
				execute(t, db, query)
			}
			f := verify(t, trail).Fault
			if f == nil || f.Kind != tt.kind || f.Number != tt.number {
				t.Errorf("%s: got %v, want entry %d %s", what, f, tt.number, tt.kind)
			}
			undo()
			if f := verify(t, trail).Fault; f != nil {
				t.Fatalf("%s undone: got %v", what, f)
			}
		}
		// Tables that are made again do not begin a second chain.
		execute(t, db, `DELETE FROM tenancy_audit_head WHERE id = 1`)
		if err := trail.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := verify(t, trail).Fault; kindOf(f) != audit.FaultHead {
			t.Errorf("no head: got %v", f)
		}
	})
}

func kindOf(f *audit.Fault) audit.FaultKind {
	if f == nil {
		return ""
	}
	return f.Kind
}

// What is not as it was signed is not cut, and what the sink does not have neither.
func TestCutRefuses(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	for what, query := range map[string]string{
		"an altered hash":       `UPDATE tenancy_audit SET hash = 'x' WHERE number = 5`,
		"a removed entry":       `DELETE FROM tenancy_audit WHERE number = 2`,
		"an altered entry":      `UPDATE tenancy_audit SET actor_id = 'eve' WHERE number = 2`,
		"an altered last entry": `UPDATE tenancy_audit SET actor_id = 'eve' WHERE number = 5`,
		"a replaced entry": `REPLACE INTO tenancy_audit SELECT 'replaced', number, hash, time, actor_kind, actor_id, actor_address, user_agent,
			request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = 2`,
		"a checkpoint of none":   `UPDATE tenancy_audit_checkpoints SET signature = 'AAAA'`,
		"a checkpoint too far":   `UPDATE tenancy_audit_head SET number = 4`,
		"another audit's":        `UPDATE tenancy_audit_head SET trail = 'x'`,
		"a cut that is no cut's": `INSERT INTO tenancy_audit_cut SELECT 1, number, trail, hash, time, signature FROM tenancy_audit_checkpoints WHERE number = 3`,
	} {
		db, trail, _ := signed(t, server, audit.Options{})
		execute(t, db, query)
		_, before := readTable(t, db, "tenancy_audit")
		if n, err := trail.Cut(t.Context(), time.Now()); n != 0 || !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%s: got %d, %v, want ErrForbidden", what, n, err)
		}
		if _, after := readTable(t, db, "tenancy_audit"); !cmp.Equal(before, after) {
			t.Errorf("%s: the entries are %v, and were %v", what, after, before)
		}
	}
	down := errors.New("the sink is down")
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sinkless, err := audit.New(server.Database(t), &audit.Options{Key: private, Sink: func(context.Context, audit.Checkpoint) error { return down }, Keep: time.Hour, OldKeys: []ed25519.PublicKey{public}})
	if err != nil {
		t.Fatal(err)
	}
	if err := sinkless.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, sinkless, 3)
	if err := sinkless.Checkpoint(t.Context()); !errors.Is(err, down) {
		t.Fatal(err)
	}
	if n, err := sinkless.Cut(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("a checkpoint that the sink does not have: got %d, %v, want nothing cut", n, err)
	}
	for what, opts := range map[string]audit.Options{"no key": {Keep: time.Hour}, "negative": {Keep: -1, Key: private}} {
		if _, err := audit.New(server.Database(t), &opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Keep, %s: got %v, want ErrInvalid", what, err)
		}
	}
	keyless, err := audit.New(server.Database(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyless.Cut(t.Context(), time.Now()); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no key: got %v, want ErrInvalid", err)
	}
}

// Of 10,000 entries one byte is flipped in any column of any entry, some are cut off, put
// in, or change places: each is found and named.
func TestVerifyFindsInTenThousand(t *testing.T) {
	t.Parallel()
	n := int64(10_000)
	positions := []int64{1, 2001, n}
	if os.Getenv("TENANCY_SOAK") != "" {
		positions = []int64{1, 2000, 2001, 7777, n}
	}
	if testing.Short() {
		n, positions = 2500, []int64{1, 2001, 2500}
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	trail, err := audit.New(db, &audit.Options{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		e := tenancy.NewEntry(tenancy.WithActor(t.Context(), ada), "tenant.status", "acme")
		e.Object, e.Problem = fmt.Sprint("key-", i), "none"
		e.Changes = []tenancy.FieldChange{change("status", `"active"`, fmt.Sprint(i))}
		if err := trail.Audit(t.Context(), tx, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := trail.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, trail, n)
	for _, at := range positions {
		var id string
		if err := db.GetContext(t.Context(), &id, `SELECT id FROM tenancy_audit WHERE number = ?`, at); err != nil {
			t.Fatal(err)
		}
		columns, _ := readTable(t, db, "tenancy_audit WHERE number = 1")
		for _, column := range columns {
			var old any
			if err := db.QueryRowContext(t.Context(), `SELECT `+column+` FROM tenancy_audit WHERE number = ?`, at).Scan(&old); err != nil {
				t.Fatal(err)
			}
			var flipped any
			switch v := old.(type) {
			case int64:
				flipped = v ^ 1<<40
			case string:
				flipped = flip(v)
			case []byte:
				flipped = flip(string(v))
			default:
				t.Fatalf("column %s holds %T", column, old)
			}
			execute(t, db, `UPDATE tenancy_audit SET `+column+` = ? WHERE number = ?`, flipped, at)
			kind, named := audit.FaultAltered, id
			switch column {
			case "number":
				kind, named = audit.FaultMissing, ""
			case "id":
				named = flip(id)
			}
			if f := verify(t, trail).Fault; f == nil || f.Kind != kind || f.Number != at || f.Entry != named {
				t.Errorf("%s of entry %d: got %v, want it %s", column, at, f, kind)
			}
			if column == "number" {
				execute(t, db, `UPDATE tenancy_audit SET number = ? WHERE number = ?`, at, flipped)
			} else {
				execute(t, db, `UPDATE tenancy_audit SET `+column+` = ? WHERE number = ?`, old, at)
			}
		}
	}
	wantWhole(t, trail, n)
	for what, tt := range map[string]struct {
		do, undo []string
		kind     audit.FaultKind
		number   int64
	}{
		"insertion in the middle": {
			[]string{`UPDATE tenancy_audit SET number = -number WHERE number >= 2000`, `UPDATE tenancy_audit SET number = 1 - number WHERE number < 0`,
				`INSERT INTO tenancy_audit SELECT 'added', 2000, hash, time, actor_kind, actor_id, actor_address, user_agent,
				request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = 1999`},
			[]string{`DELETE FROM tenancy_audit WHERE id = 'added'`, `UPDATE tenancy_audit SET number = -number WHERE number > 2000`, `UPDATE tenancy_audit SET number = -number - 1 WHERE number < 0`},
			audit.FaultAltered, 2000,
		},
		"reordering": {
			[]string{`UPDATE tenancy_audit SET number = -number WHERE number IN (2000, 2001)`, `UPDATE tenancy_audit SET number = 4001 + number WHERE number < 0`},
			[]string{`UPDATE tenancy_audit SET number = -number WHERE number IN (2000, 2001)`, `UPDATE tenancy_audit SET number = 4001 + number WHERE number < 0`},
			audit.FaultAltered, 2000,
		},
		"tail, with the head set back": {
			[]string{`CREATE TABLE gone AS SELECT * FROM tenancy_audit WHERE number > 2400`, `DELETE FROM tenancy_audit WHERE number > 2400`,
				`CREATE TABLE head AS SELECT * FROM tenancy_audit_head`, `UPDATE tenancy_audit_head SET number = 2400, hash = (SELECT hash FROM tenancy_audit WHERE number = 2400)`},
			[]string{`INSERT INTO tenancy_audit SELECT * FROM gone`, `DROP TABLE gone`, `UPDATE tenancy_audit_head SET number = (SELECT number FROM head), hash = (SELECT hash FROM head)`, `DROP TABLE head`},
			audit.FaultMissing, 2401,
		},
		"head": {
			[]string{`CREATE TABLE gone AS SELECT * FROM tenancy_audit WHERE number <= 2000`, `DELETE FROM tenancy_audit WHERE number <= 2000`},
			[]string{`INSERT INTO tenancy_audit SELECT * FROM gone`, `DROP TABLE gone`},
			audit.FaultMissing, 1,
		},
		"middle": {
			[]string{`CREATE TABLE gone AS SELECT * FROM tenancy_audit WHERE number BETWEEN 1500 AND 2100`, `DELETE FROM tenancy_audit WHERE number BETWEEN 1500 AND 2100`},
			[]string{`INSERT INTO tenancy_audit SELECT * FROM gone`, `DROP TABLE gone`},
			audit.FaultMissing, 1500,
		},
	} {
		all := func(queries []string) {
			t.Helper()
			for _, query := range queries {
				if _, err := db.ExecContext(t.Context(), query); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
			}
		}
		all(tt.do)
		if f := verify(t, trail).Fault; f == nil || f.Kind != tt.kind || f.Number != tt.number {
			t.Errorf("%s: got %v, want entry %d %s", what, f, tt.number, tt.kind)
		}
		all(tt.undo)
		wantWhole(t, trail, n)
	}
}

// flip flips one bit of a text in the middle.
func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 1
	return string(b)
}

// Pages by cursor are the listing, whatever is written meanwhile.
func TestEntriesAfter(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		_, trail, _ := open(t, s)
		add(t, trail, 25)
		for _, oldest := range []bool{false, true} {
			f := audit.Filter{Tenant: "acme", OldestFirst: oldest}
			var want, got []string
			for e, err := range trail.Entries(t.Context(), f) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, e.ID)
			}
			for f.Limit = 7; ; {
				var page []tenancy.Entry
				for e, err := range trail.Entries(t.Context(), f) {
					if err != nil {
						t.Fatal(err)
					}
					page = append(page, e)
					got = append(got, e.ID)
				}
				if len(page) < f.Limit {
					break
				}
				f.After = f.Next(page[len(page)-1])
				if !oldest { // newer ones come in front of what was seen
					add(t, trail, 1)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("oldest first %t: got %v, want %v", oldest, got, want)
			}
			other := audit.Filter{Tenant: "acme", OldestFirst: !oldest, After: f.After}
			for _, err := range trail.Entries(t.Context(), other) {
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("a cursor of another listing: got %v, want ErrInvalid", err)
				}
			}
		}
	})
}

// keyedLate returns an audit of 25 entries that was given a key late, so that its first checkpoint is behind them all, and
// which removes 10 entries in a transaction.
func keyedLate(t *testing.T, s *tenancytest.Server) (*sqlx.DB, *audit.Trail, ed25519.PublicKey) {
	t.Helper()
	db, keyless, _ := open(t, s)
	add(t, keyless, 25)
	wantWhole(t, keyless, 25)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trail, err := audit.New(db, &audit.Options{Key: private})
	if err != nil {
		t.Fatal(err)
	}
	trail.SetCutStep(10)
	if err := trail.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, trail, public
}

// cuts returns what the entries about cuts say, in order.
func cuts(t *testing.T, trail *audit.Trail) (all []string) {
	t.Helper()
	for e, err := range trail.Entries(t.Context(), audit.Filter{Actions: []string{"audit.cut"}, OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(e.Changes[0].Before)+">"+string(e.Changes[0].After))
	}
	return all
}

// However far the first checkpoint is, a transaction removes few entries. Two who cut at once are not in each other's
// way, and what is left proves itself.
func TestCutInSteps(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		_, trail, public := keyedLate(t, s)
		var removed atomic.Int64
		var cutters sync.WaitGroup
		for range 2 {
			cutters.Go(func() {
				n, err := trail.Cut(t.Context(), time.Now())
				if err != nil {
					t.Errorf("Cut: %v", err)
				}
				removed.Add(n)
			})
		}
		cutters.Wait()
		if got, want := fmt.Sprint(cuts(t, trail)), "[0>10 10>20 20>25]"; got != want || removed.Load() != 25 {
			t.Errorf("got %d removed by the cuts %s, want 25 by %s", removed.Load(), got, want)
		}
		if r := verify(t, trail); r.Fault != nil || r.Cut != 25 || r.Signed != 25 || r.Entries != 3 {
			t.Errorf("got %+v, fault %v, want 3 entries behind 25", r, r.Fault)
		}
		all, err := trail.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var export bytes.Buffer
		if err := trail.Export(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		if r, err := audit.VerifyExport(&export, all, public); err != nil || r.Fault != nil || r.Cut != 25 {
			t.Errorf("export: got %+v, %v, want it whole behind 25", r, err)
		}
	})
}

// The audit is whole after each step of a cut, and the next cut goes on there.
func TestCutGoesOn(t *testing.T) {
	t.Parallel()
	db, trail, public := keyedLate(t, tenancytest.NewServer(t, "sqlite"))
	all, err := trail.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int64{10, 20} {
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`CREATE TRIGGER fails BEFORE INSERT ON tenancy_audit_cut WHEN NEW.number > %d
			BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`, step)); err != nil {
			t.Fatal(err)
		}
		if n, err := trail.Cut(t.Context(), time.Now()); n != 10 || err == nil {
			t.Fatalf("got %d, %v, want 10, and an error of the next step", n, err)
		}
		if r := verify(t, trail); r.Fault != nil || r.Cut != step {
			t.Errorf("got %+v, fault %v, want it whole behind %d", r, r.Fault, step)
		}
		var export bytes.Buffer
		if err := trail.Export(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		if r, err := audit.VerifyExport(&export, all, public); err != nil || r.Fault != nil || r.Cut != step {
			t.Errorf("export: got %+v, %v, want it whole behind %d", r, err, step)
		}
		if _, err := db.ExecContext(t.Context(), `DROP TRIGGER fails`); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := trail.Cut(t.Context(), time.Now()); n != 5 || err != nil {
		t.Errorf("got %d, %v, want the last 5", n, err)
	}
	if r := verify(t, trail); r.Fault != nil || r.Cut != 25 {
		t.Errorf("got %+v, fault %v, want it whole behind 25", r, r.Fault)
	}
}

// What is wrong in front of the checkpoint keeps the first step from being made.
func TestCutInStepsRefuses(t *testing.T) {
	t.Parallel()
	server := tenancytest.NewServer(t, "sqlite")
	for what, query := range map[string]string{
		"an altered entry":     `UPDATE tenancy_audit SET actor_id = 'eve' WHERE number = 22`,
		"a removed entry":      `DELETE FROM tenancy_audit WHERE number = 22`,
		"a checkpoint of none": `UPDATE tenancy_audit_checkpoints SET signature = 'AAAA'`,
		"another hash":         `UPDATE tenancy_audit_checkpoints SET hash = (SELECT hash FROM tenancy_audit WHERE number = 24)`,
		"a head set back":      `UPDATE tenancy_audit_head SET number = 15`,
	} {
		db, trail, _ := keyedLate(t, server)
		execute(t, db, query)
		_, before := readTable(t, db, "tenancy_audit")
		if n, err := trail.Cut(t.Context(), time.Now()); n != 0 || !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%s: got %d, %v, want ErrForbidden", what, n, err)
		}
		if _, after := readTable(t, db, "tenancy_audit"); !cmp.Equal(before, after) {
			t.Errorf("%s: the entries are %v, and were %v", what, after, before)
		}
	}
}

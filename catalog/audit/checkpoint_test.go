package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// signed returns an audit with two checkpoints, at 3 and 5, and one more entry.
func signed(t *testing.T, s *tenancytest.Server, opts audit.Options) (*sqlx.DB, *audit.Trail, ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	db := s.Database(t)
	opts.Key = private
	trail, err := audit.New(db, &opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 6; i++ {
		if err := trail.Audit(t.Context(), nil, tenancy.NewEntry(tenancy.WithActor(t.Context(), ada), "tenant.status", "acme")); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, trail, int64(i))
		if i == 3 || i == 5 {
			for range 2 { // the second has nothing to do
				if err := trail.Checkpoint(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return db, trail, public
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		var sent []int64
		sink := func(_ context.Context, c audit.Checkpoint) error {
			sent = append(sent, c.Number)
			return nil
		}
		db, trail, public := signed(t, s, audit.Options{Sink: sink})
		all, err := trail.Checkpoints(t.Context())
		if err != nil || len(all) != 2 || all[0].Number != 3 || all[1].Number != 5 || !all[0].SignedBy(public) || len(sent) != 2 {
			t.Fatalf("got %+v, %v, and %v sent, want checkpoints at 3 and 5", all, err, sent)
		}
		if report := verify(t, trail); report.Fault != nil || report.Signed != 5 || report.Entries != 6 {
			t.Errorf("got %+v, want it proven up to 5", report)
		}
		// The owner of the database alters an entry and computes the chain anew, or
		// cuts the tail and sets the head back: without checkpoints nobody would see it.
		anew := []string{
			`UPDATE tenancy_audit SET number = NULL, hash = NULL WHERE number > 0`,
			`UPDATE tenancy_audit_head SET number = 0, hash = '` + strings.Repeat("0", 64) + `' WHERE id = 1`,
		}
		for what, tt := range map[string]struct {
			do     []string
			kind   audit.FaultKind
			number int64
		}{
			"computed anew": {append([]string{`UPDATE tenancy_audit SET actor_id = 'eve' WHERE number = 2`}, anew...), audit.FaultCheckpoint, 3},
			"cut": {[]string{`DELETE FROM tenancy_audit WHERE number > 4`,
				`UPDATE tenancy_audit_head SET number = 4, hash = (SELECT hash FROM tenancy_audit WHERE number = 4) WHERE id = 1`}, audit.FaultMissing, 5},
			"another hash":      {[]string{`UPDATE tenancy_audit_checkpoints SET hash = '` + strings.Repeat("0", 64) + `' WHERE number = 5`}, audit.FaultCheckpoint, 5},
			"another signature": {[]string{`UPDATE tenancy_audit_checkpoints SET signature = 'AAAA' WHERE number = 3`}, audit.FaultCheckpoint, 3},
			"another trail":     {[]string{`UPDATE tenancy_audit_head SET trail = 'other' WHERE id = 1`}, audit.FaultCheckpoint, 3},
		} {
			undo := snapshot(t, db)
			for _, query := range tt.do {
				execute(t, db, query)
			}
			if f := verify(t, trail).Fault; f == nil || f.Kind != tt.kind || f.Number != tt.number {
				t.Errorf("%s: got %v, want a fault %s at %d", what, f, tt.kind, tt.number)
			}
			undo()
			wantWhole(t, trail, 6)
		}
	})
}

// A tail that was cut is missed also while entries come that take the numbers of those that are gone.
func TestCutTailWhileEntriesCome(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, _ := signed(t, s, audit.Options{})
		execute(t, db, `DELETE FROM tenancy_audit WHERE number > 2`)
		execute(t, db, `UPDATE tenancy_audit_head SET number = 2, hash = (SELECT hash FROM tenancy_audit WHERE number = 2) WHERE id = 1`)
		report, err := trail.VerifyEach(t.Context(), func(audit.Progress) error {
			if err := trail.Audit(t.Context(), nil, tenancy.NewEntry(t.Context(), "tenant.status", "acme")); err != nil {
				return err
			}
			return trail.Export(t.Context(), io.Discard) // which seals it
		})
		if err != nil || report.Fault == nil || report.Fault.Kind != audit.FaultMissing || report.Fault.Number != 3 {
			t.Errorf("got %+v, fault %v, %v, want entry 3 missing", report, report.Fault, err)
		}
	})
}

// While a call of the sink does not return, entries are sealed all the same, no other call is begun, and Run ends.
func TestSinkThatHangs(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	called, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	trail, err := audit.New(db, &audit.Options{
		Key: key, SealEvery: time.Millisecond, CheckpointEvery: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Sink: func(context.Context, audit.Checkpoint) error {
			called <- struct{}{}
			<-release
			return nil
		},
	})
	if err == nil {
		err = trail.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- trail.Run(ctx) }()
	add(t, trail, 1)
	<-called
	add(t, trail, 1)
	testserver.Await(t, "all entries are sealed", func() bool {
		n, _, err := trail.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if n := len(called); n != 0 {
		t.Errorf("got %d more calls beside the one that hangs", n)
	}
}

// A sink that panics is one that failed.
func TestSinkThatPanics(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trail, err := audit.New(db, &audit.Options{Key: key, Sink: func(context.Context, audit.Checkpoint) error { panic("planted") }})
	if err == nil {
		err = trail.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	add(t, trail, 1)
	if err := trail.Checkpoint(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) || !strings.Contains(err.Error(), "planted") {
		t.Errorf("got %v, want ErrUnavailable that names the panic", err)
	}
}

// A sink that fails gets the same checkpoint again, and in order.
func TestSinkIsAskedAgain(t *testing.T) {
	t.Parallel()
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	down := true
	var got []int64
	trail, err := audit.New(db, &audit.Options{Key: key, Sink: func(_ context.Context, c audit.Checkpoint) error {
		if down {
			return errors.New("down")
		}
		got = append(got, c.Number)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := trail.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := trail.Audit(t.Context(), nil, tenancy.NewEntry(t.Context(), "tenant.status", "acme")); err != nil {
			t.Fatal(err)
		}
		if err := trail.Checkpoint(t.Context()); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	down = false
	if err := trail.Checkpoint(t.Context()); err != nil || len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("got %v, %v, want 1 and 2", got, err)
	}
	if _, err := audit.New(db, &audit.Options{Key: key[:7]}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a short key: got %v, want ErrInvalid", err)
	}
}

func TestVerifyExport(t *testing.T) {
	t.Parallel()
	_, trail, public := signed(t, tenancytest.NewServer(t, "sqlite"), audit.Options{})
	checkpoints, err := trail.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := trail.Export(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 6 {
		t.Fatalf("got %d lines, want 6", len(lines))
	}
	stranger, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	without := func(i int) string { return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "") }
	for what, tt := range map[string]struct {
		text   string
		key    ed25519.PublicKey
		kind   audit.FaultKind // empty: whole
		number int64
	}{
		"whole":            {out.String(), public, "", 0},
		"up to the last":   {strings.Join(lines[:5], ""), public, "", 0},
		"altered":          {strings.Replace(out.String(), "ada", "adb", 1), public, audit.FaultCheckpoint, 3},
		"a space more":     {strings.Replace(out.String(), ",", ", ", 1), public, audit.FaultCheckpoint, 3},
		"a line removed":   {without(1), public, audit.FaultMissing, 2},
		"first removed":    {without(0), public, audit.FaultMissing, 1},
		"cut":              {strings.Join(lines[:4], ""), public, audit.FaultMissing, 5},
		"nothing":          {"", public, audit.FaultMissing, 1},
		"exchanged":        {lines[1] + lines[0] + lines[2], public, audit.FaultMissing, 1},
		"no JSON":          {"x\n" + out.String(), public, audit.FaultAltered, 1},
		"of another's key": {out.String(), stranger, audit.FaultCheckpoint, 3},
	} {
		report, err := audit.VerifyExport(strings.NewReader(tt.text), checkpoints, tt.key)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		f := report.Fault
		if tt.kind == "" && (f != nil || report.Signed != 5) || tt.kind != "" && (f == nil || f.Kind != tt.kind || f.Number != tt.number) {
			t.Errorf("%s: got %+v, fault %v, want %q at %d", what, report, f, tt.kind, tt.number)
		}
	}
	for _, keys := range [][]ed25519.PublicKey{nil, {public}} {
		if _, err := audit.VerifyExport(&out, nil, keys...); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("without checkpoints: got %v, want ErrInvalid", err)
		}
	}
}

// The steps of docs/audit.md by hand, with the standard tools alone.
func TestVerifyByHand(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(doc), "```sh\n")
	script, _, found := strings.Cut(script, "```")
	if !found {
		t.Fatal("docs/audit.md has no steps")
	}
	db, trail, public := signed(t, tenancytest.NewServer(t, "sqlite"), audit.Options{})
	all, err := trail.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var export bytes.Buffer
	if err := trail.Export(t.Context(), &export); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write("public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	early, first := all[0], all[1]
	if n, err := trail.Cut(t.Context(), time.Now()); err != nil || n != 5 {
		t.Fatalf("Cut: got %d, %v, want 5", n, err)
	}
	add(t, trail, 4)
	if err := trail.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err = trail.Checkpoints(t.Context()); err != nil || len(all) != 2 {
		t.Fatalf("got %v, %v, want the one that was cut at, and another", all, err)
	}
	var rest bytes.Buffer
	if err := trail.Export(t.Context(), &rest); err != nil {
		t.Fatal(err)
	}
	// Whoever has no key can say that the audit was cut, but cannot sign it.
	forged := func(number int64, hash string) string {
		return fmt.Sprintf(`{"cut":{"trail":%q,"number":%d,"hash":%q,"time":"2030-01-01T00:00:00.5Z","signature":%q}}`+"\n", all[1].Trail, number, hash, all[1].Signature)
	}
	var hash string
	if err := db.GetContext(t.Context(), &hash, `SELECT hash FROM tenancy_audit WHERE number = ?`, all[1].Number-1); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(rest.String(), "\n"), "\n")
	for what, tt := range map[string]struct {
		by   audit.Checkpoint
		text string
		ok   bool
	}{
		"whole":                     {first, export.String(), true},
		"altered":                   {first, strings.Replace(export.String(), "ada", "adb", 1), false},
		"cut, whole":                {all[1], rest.String(), true},
		"cut at the checkpoint":     {all[0], rest.String(), true},
		"cut, altered":              {all[1], strings.Replace(rest.String(), "ada", "adb", 1), false},
		"cut with another hash":     {all[1], strings.Replace(rest.String(), `"hash":"`, `"hash":"0`, 1), false},
		"cut behind the checkpoint": {early, rest.String(), false},
		"forged at the checkpoint":  {all[1], forged(all[1].Number, all[1].Hash), false},
		"forged with its true hash": {all[1], forged(all[1].Number-1, hash) + lines[len(lines)-1] + "\n", false},
		"forged below the first":    {all[1], lines[0] + forged(all[1].Number, all[1].Hash), false},
		"forged below an entry":     {first, lines[1] + forged(first.Number, first.Hash), false},
		"cut with another trail":    {all[1], strings.Replace(rest.String(), `"trail":"`, `"trail":"x`, 1), false},
		"cut with another time":     {all[1], strings.Replace(rest.String(), `"time":"20`, `"time":"21`, 1), false},
		"cut in the second line":    {all[1], "\n" + rest.String(), false},
		"cut line alone":            {all[1], lines[0], false},
		"empty":                     {first, "", false},
	} {
		signature, err := base64.StdEncoding.DecodeString(tt.by.Signature)
		if err != nil {
			t.Fatal(err)
		}
		write("checkpoint.txt", tt.by.Message())
		write("checkpoint.sig", signature)
		write("audit.jsonl", []byte(tt.text))
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if whole := err == nil && strings.Contains(string(out), "whole up to entry "+strconv.FormatInt(tt.by.Number, 10)); whole != tt.ok {
			t.Errorf("%s: got %v and %s, want whole %v", what, err, out, tt.ok)
		}
	}
}

// Entries that say they are older than a checkpoint before them are counted, whoever wrote them, and are no fault.
func TestVerifyCountsLate(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db, trail, public := signed(t, s, audit.Options{}) // checkpoints at 3 and 5, entry 6
		ago := func(d time.Duration) int64 { return time.Now().Add(-d).UnixMicro() }
		execute(t, db, `INSERT INTO tenancy_audit SELECT 'put in', NULL, NULL, ?, actor_kind, 'eve', actor_address, user_agent,
			request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = 1`, ago(48*time.Hour))
		execute(t, db, `INSERT INTO tenancy_audit SELECT 'during an outage', NULL, NULL, ?, actor_kind, actor_id, actor_address, user_agent,
			request_id, reason, queued, action, tenant_id, object, result, problem, times, changes FROM tenancy_audit WHERE number = 1`, ago(12*time.Hour))
		report := verify(t, trail)
		if report.Fault != nil || report.Entries != 8 || report.Late != 1 {
			t.Errorf("got %+v, fault %v, want 8 entries, one of them late", report, report.Fault)
		}
		all, err := trail.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var export bytes.Buffer
		if err := trail.Export(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		if r, err := audit.VerifyExport(&export, all, public); err != nil || r.Fault != nil || r.Late != 1 {
			t.Errorf("export: got %+v, %v, want one late entry", r, err)
		}
		if n, err := trail.Cut(t.Context(), time.Now()); err != nil || n != 5 {
			t.Fatalf("Cut: got %d, %v, want 5", n, err)
		}
		if report := verify(t, trail); report.Fault != nil || report.Late != 1 {
			t.Errorf("behind a cut: got %+v, fault %v, want one late entry", report, report.Fault)
		}
	})
}

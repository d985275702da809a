package tenancy_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

func TestNewEntry(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 300)
	ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: "odd", ID: "a\nb\xff", UserAgent: long, Reason: long + long})
	e := tenancy.NewEntry(ctx, "tenant.status", "acme")
	if err := e.Validate(); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	if e.Actor.Kind != tenancy.ActorUnknown || e.Actor.ID != "a b\ufffd" || e.Actor.UserAgent != long[:256] {
		t.Errorf("got %+v, want the texts cut and cleaned", e.Actor)
	}
	if e.Result != tenancy.AuditDone || e.Count != 1 || e.Tenant != "acme" || e.Action != "tenant.status" || e.Time.Location() != time.UTC {
		t.Errorf("got %+v", e)
	}
	if again := tenancy.NewEntry(ctx, "tenant.status", "acme"); again.ID == e.ID {
		t.Errorf("two entries have the ID %s", e.ID)
	}
}

func TestEntryValidate(t *testing.T) {
	t.Parallel()
	change := func(field, before, after string) tenancy.FieldChange {
		return tenancy.FieldChange{Field: field, Before: json.RawMessage(before), After: json.RawMessage(after)}
	}
	for what, spoil := range map[string]func(*tenancy.Entry){
		"no ID":             func(e *tenancy.Entry) { e.ID = "" },
		"no time":           func(e *tenancy.Entry) { e.Time = time.Time{} },
		"nanoseconds":       func(e *tenancy.Entry) { e.Time = e.Time.Add(1) },
		"no actor":          func(e *tenancy.Entry) { e.Actor = tenancy.Actor{} },
		"no action":         func(e *tenancy.Entry) { e.Action = "" },
		"one word":          func(e *tenancy.Entry) { e.Action = "tenant" },
		"empty word":        func(e *tenancy.Entry) { e.Action = "tenant." },
		"upper case":        func(e *tenancy.Entry) { e.Action = "tenant.Status" },
		"long action":       func(e *tenancy.Entry) { e.Action = "a." + strings.Repeat("x", 63) },
		"tenant":            func(e *tenancy.Entry) { e.Tenant = "A" },
		"object":            func(e *tenancy.Entry) { e.Object = "\x00" },
		"problem":           func(e *tenancy.Entry) { e.Problem = strings.Repeat("x", 201) },
		"no result":         func(e *tenancy.Entry) { e.Result = "" },
		"no count":          func(e *tenancy.Entry) { e.Count = 0 },
		"unsorted changes":  func(e *tenancy.Entry) { e.Changes = append(e.Changes, change("a", "", "1")) },
		"change twice":      func(e *tenancy.Entry) { e.Changes = append(e.Changes, change("status", "", "1")) },
		"change of nothing": func(e *tenancy.Entry) { e.Changes[0].Field = "" },
		"no JSON":           func(e *tenancy.Entry) { e.Changes[0].Before = json.RawMessage(`{`) },
		"JSON with spaces":  func(e *tenancy.Entry) { e.Changes[0].Before = json.RawMessage(`[1, 2]`) },
		"JSON not in UTF-8": func(e *tenancy.Entry) { e.Changes[0].Before = json.RawMessage("\"\xff\"") },
	} {
		e := tenancy.NewEntry(t.Context(), "tenant.status", "acme")
		e.Changes = []tenancy.FieldChange{change("status", `"active"`, `"suspended"`)}
		if err := e.Validate(); err != nil {
			t.Fatalf("before: %v", err)
		}
		spoil(&e)
		if err := e.Validate(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
}

type auditorOf struct{ db *sql.DB }

func (a auditorOf) Audit(context.Context, *sql.Tx, tenancy.Entry) error { return nil }
func (a auditorOf) Database() *sql.DB                                   { return a.db }

type anyAuditor struct{}

func (anyAuditor) Audit(context.Context, *sql.Tx, tenancy.Entry) error { return nil }

func TestCheckAuditor(t *testing.T) {
	t.Parallel()
	db, other := new(sql.DB), new(sql.DB)
	if err := tenancy.CheckAuditor(auditorOf{db}, db); err != nil {
		t.Errorf("the same database: %v", err)
	}
	if err := tenancy.CheckAuditor(anyAuditor{}, db); err != nil {
		t.Errorf("an auditor that does not say: %v", err)
	}
	for what, a := range map[string]tenancy.Auditor{"another": auditorOf{other}, "none": auditorOf{}} {
		if err := tenancy.CheckAuditor(a, db); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
}

package tenancy

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is one entry of the audit: who did what to which tenant, and how it
// ended. [NewEntry] begins one. It holds no secret.
type Entry struct {
	// ID is the entry's own, made by [NewEntry]. Of an entry that was written
	// already, nothing is written again.
	ID string `json:"id"`
	// Number is the entry's place in the audit, from 1 on. It is zero until the
	// entry is sealed, and in entries that are to be written.
	Number int64 `json:"number,omitempty"`
	// Time is when it happened, in UTC, to the microsecond.
	Time  time.Time `json:"time"`
	Actor Actor     `json:"actor"`
	// Action is what was done: two or more words of a-z, 0-9 and underscores,
	// joined by dots, such as "tenant.status". Up to 64 bytes.
	Action string `json:"action"`
	// Tenant is the tenant that it was done to, or empty for the whole service.
	Tenant ID `json:"tenant,omitempty"`
	// Object is what it was done to beside the tenant, such as an API key's ID. Up
	// to 200 bytes.
	Object string      `json:"object,omitempty"`
	Result AuditResult `json:"result"`
	// Problem says why it was denied or failed, in words that are not the client's.
	// Up to 200 bytes.
	Problem string `json:"problem,omitempty"`
	// Count is how many times it happened: more than once only for what is counted
	// together, such as denials within a minute.
	Count int64 `json:"count"`
	// Changes are the fields that changed, in ascending order of their names.
	Changes []FieldChange `json:"changes,omitempty"`
}

// FieldChange is one field before and after a change.
type FieldChange struct {
	// Field is the field's name, such as "status" or "settings.colour". Up to 200
	// bytes.
	Field string `json:"field"`
	// Before and After are JSON. Empty is a field that was, or is, not there. A
	// secret is the text "[redacted]".
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// AuditResult is how an action ended.
type AuditResult string

// The results of actions.
const (
	// AuditDone is an action that was carried out. Its entry is written in the
	// same transaction.
	AuditDone AuditResult = "done"
	// AuditDenied is an action that the actor may not do.
	AuditDenied AuditResult = "denied"
	// AuditFailed is an action that was refused or failed, and changed nothing.
	AuditFailed AuditResult = "failed"
	// AuditUnknown is an action that may or may not have been carried out, or in part, because the answer to its
	// commit was lost, or because work without a transaction failed in the middle.
	AuditUnknown AuditResult = "unknown"
)

// AuditResults returns all results of actions.
func AuditResults() []AuditResult {
	return []AuditResult{AuditDone, AuditDenied, AuditFailed, AuditUnknown}
}

// Auditor writes entries of the audit. The package catalog/audit has one for SQL,
// and tenancytest a recorder. Its methods are called by many goroutines at once.
type Auditor interface {
	// Audit writes the entry within tx, a transaction in the auditor's database,
	// which the caller commits or rolls back: with an error the caller must roll
	// back. A nil tx is for entries of what was not done, and for callers that have
	// no SQL; the entry is kept when Audit returns nil. A malformed entry is an
	// error that wraps [ErrInvalid].
	Audit(ctx context.Context, tx *sql.Tx, e Entry) error
}

// CheckAuditor returns an error that wraps [ErrInvalid] if the auditor writes to
// another database than db: then it cannot write within db's transactions. An
// auditor says to which it writes with the optional method Database() *sql.DB.
// Packages that own tables call it in their constructors.
func CheckAuditor(a Auditor, db *sql.DB) error {
	in, ok := a.(interface{ Database() *sql.DB })
	if ok && in.Database() != db {
		return fmt.Errorf("%w: the auditor has another *sql.DB; entries are written in the transactions of one", ErrInvalid)
	}
	return nil
}

// NewEntry begins the entry of an action: with a new ID, the time, and the actor
// of the context; its result is [AuditDone] and its count 1. Texts of the actor that
// are too long are cut, and unprintable characters in them become spaces: they come
// from clients, and must not keep a change from being made.
func NewEntry(ctx context.Context, action string, tenant ID) Entry {
	return Entry{
		ID: string(NewID()), Time: time.Now().UTC().Truncate(time.Microsecond), Actor: ActorFrom(ctx).plain(),
		Action: action, Tenant: tenant, Result: AuditDone, Count: 1,
	}
}

// Longest texts of an entry, in bytes, and how many changes it has at most.
const (
	maxAction  = 64
	maxObject  = 200
	maxProblem = 200
	maxField   = 200
	maxChange  = 16 << 10
	maxChanges = 1000
)

// Validate reports a malformed entry with an error that wraps [ErrInvalid].
func (e *Entry) Validate() error {
	if err := ID(e.ID).Validate(); err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	if e.Time.IsZero() || !e.Time.Equal(e.Time.Truncate(time.Microsecond)) {
		return fmt.Errorf("%w: entry at %v, want a time to the microsecond", ErrInvalid, e.Time)
	}
	if err := e.Actor.Validate(); err != nil {
		return err
	}
	if !isAction(e.Action) {
		return fmt.Errorf("%w: action %.80q, want words of a-z, 0-9 and _ joined by dots, of at most %d bytes", ErrInvalid, e.Action, maxAction)
	}
	if e.Tenant != "" {
		if err := e.Tenant.Validate(); err != nil {
			return err
		}
	}
	if e.Object != plainText(e.Object, maxObject) || e.Problem != plainText(e.Problem, maxProblem) {
		return fmt.Errorf("%w: object or problem of an entry: want printable UTF-8 of at most %d bytes", ErrInvalid, maxObject)
	}
	if !slices.Contains(AuditResults(), e.Result) {
		return fmt.Errorf("%w: result %.40q of an entry", ErrInvalid, string(e.Result))
	}
	if e.Count < 1 {
		return fmt.Errorf("%w: entry that happened %d times", ErrInvalid, e.Count)
	}
	if len(e.Changes) > maxChanges {
		return fmt.Errorf("%w: entry with %d changed fields, want at most %d", ErrInvalid, len(e.Changes), maxChanges)
	}
	for i, c := range e.Changes {
		if c.Field == "" || c.Field != plainText(c.Field, maxField) || i > 0 && e.Changes[i-1].Field >= c.Field {
			return fmt.Errorf("%w: changed field %.80q, want names of at most %d bytes, each once, in ascending order", ErrInvalid, c.Field, maxField)
		}
		if err := c.validate(); err != nil {
			return err
		}
	}
	return nil
}

// validate wants JSON without spaces, so that one value has one form.
func (c *FieldChange) validate() error {
	for _, value := range []json.RawMessage{c.Before, c.After} {
		if len(value) == 0 {
			continue
		}
		var compact bytes.Buffer
		if len(value) > maxChange || !utf8.Valid(value) || json.Compact(&compact, value) != nil || !bytes.Equal(compact.Bytes(), value) {
			return fmt.Errorf("%w: field %q of an entry: want JSON without spaces, of at most %d bytes", ErrInvalid, c.Field, maxChange)
		}
	}
	return nil
}

// isAction reports whether a text is words joined by dots.
func isAction(s string) bool {
	if len(s) > maxAction || !strings.Contains(s, ".") {
		return false
	}
	for word := range strings.SplitSeq(s, ".") {
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || word == "" {
			return false
		}
	}
	return true
}

// plainText returns the text as UTF-8 without unprintable characters, which become
// spaces, cut between two characters to at most that many bytes.
func plainText(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !isPrintable(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Refused returns the entry of an action that was not done because of err: denied
// if the error wraps [ErrForbidden] or [ErrUnauthenticated], and failed otherwise.
// The problem is the error's text, cut to what an entry can hold.
func (e Entry) Refused(err error) Entry {
	e.Result, e.Changes = AuditFailed, nil
	if errors.Is(err, ErrForbidden) || errors.Is(err, ErrUnauthenticated) {
		e.Result = AuditDenied
	}
	e.Problem = plainText(err.Error(), maxProblem)
	return e
}

// maxShown is the length of the longest value that entries show.
const maxShown = 4096

// AuditValue returns a value as [FieldChange] has it: as JSON, and if that is longer
// than 4,096 bytes, its length and SHA-256. What cannot be encoded is the text
// "[unreadable]". The caller leaves out what is secret.
func AuditValue(value any) json.RawMessage {
	b, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage(`"[unreadable]"`)
	}
	if len(b) > maxShown {
		return json.RawMessage(fmt.Sprintf(`{"bytes":%d,"sha256":"%s"}`, len(b), DigestOf(string(b))))
	}
	return b
}

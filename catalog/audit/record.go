package audit

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// record is a row of the table of entries.
type record struct {
	id      string
	number  sql.NullInt64
	hash    sql.NullString
	time    int64
	actor   actorRecord
	action  string
	tenant  string
	object  string
	result  string
	problem string
	times   int64
	changes string
}

type actorRecord struct {
	kind, id, address, userAgent, requestID, reason string
	queued                                          int64
}

// columns are those of record.values, and with number and hash those of
// record.fields.
const (
	columns = `id, time, actor_kind, actor_id, actor_address, user_agent, request_id, reason, queued,
		action, tenant_id, object, result, problem, times, changes`
	insert = `INSERT INTO tenancy_audit (` + columns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func (r *record) values() []any {
	a := &r.actor
	return []any{
		r.id, r.time, a.kind, a.id, a.address, a.userAgent, a.requestID, a.reason, a.queued,
		r.action, r.tenant, r.object, r.result, r.problem, r.times, r.changes,
	}
}

func (r *record) fields() []any {
	a := &r.actor
	return []any{
		&r.id, &r.time, &a.kind, &a.id, &a.address, &a.userAgent, &a.requestID, &a.reason, &a.queued,
		&r.action, &r.tenant, &r.object, &r.result, &r.problem, &r.times, &r.changes, &r.number, &r.hash,
	}
}

// recordOf returns the row of a valid entry.
func recordOf(e tenancy.Entry) record {
	r := record{
		id: e.ID, time: e.Time.UnixMicro(), action: e.Action, tenant: string(e.Tenant), object: e.Object,
		result: string(e.Result), problem: e.Problem, times: e.Count, changes: string(appendChanges(nil, e.Changes)),
		actor: actorRecord{
			kind: string(e.Actor.Kind), id: e.Actor.ID, userAgent: e.Actor.UserAgent, requestID: e.Actor.RequestID, reason: e.Actor.Reason,
		},
	}
	if e.Actor.Address.IsValid() {
		r.actor.address = e.Actor.Address.String()
	}
	if e.Actor.Queued {
		r.actor.queued = 1
	}
	return r
}

// entry returns the entry of a row that nobody altered. Of another it returns what
// can be read, and an error that wraps tenancy.ErrInvalid.
func (r *record) entry() (tenancy.Entry, error) {
	e := tenancy.Entry{
		ID: r.id, Number: r.number.Int64, Time: time.UnixMicro(r.time).UTC(), Action: r.action, Tenant: tenancy.ID(r.tenant),
		Object: r.object, Result: tenancy.AuditResult(r.result), Problem: r.problem, Count: r.times,
		Actor: tenancy.Actor{
			Kind: tenancy.ActorKind(r.actor.kind), ID: r.actor.id, UserAgent: r.actor.userAgent, RequestID: r.actor.requestID,
			Reason: r.actor.reason, Queued: r.actor.queued != 0,
		},
	}
	var err error
	if r.actor.address != "" {
		if e.Actor.Address, err = netip.ParseAddr(r.actor.address); err != nil {
			return e, fmt.Errorf("%w: entry %s: address of the actor", tenancy.ErrInvalid, r.id)
		}
	}
	var changes []struct{ Field, Before, After string }
	if err := json.Unmarshal([]byte(r.changes), &changes); err != nil {
		return e, fmt.Errorf("%w: entry %s: changes: %w", tenancy.ErrInvalid, r.id, err)
	}
	for _, c := range changes {
		e.Changes = append(e.Changes, tenancy.FieldChange{Field: c.Field, Before: raw(c.Before), After: raw(c.After)})
	}
	return e, nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// appendLine appends the canonical form of the entry with that number, which
// docs/audit.md specifies. Rows that differ in any column but number and hash have
// different forms, whatever the columns hold.
func (r *record) appendLine(b []byte, number int64) []byte {
	text := func(name, value string) {
		b = append(append(b, name...), ':')
		b = appendText(b, value)
	}
	integer := func(name string, value int64) {
		b = append(append(b, name...), ':')
		b = strconv.AppendInt(b, value, 10)
	}
	text(`{"action"`, r.action)
	text(`,"actor":{"address"`, r.actor.address)
	text(`,"id"`, r.actor.id)
	text(`,"kind"`, r.actor.kind)
	integer(`,"queued"`, r.actor.queued)
	text(`,"reason"`, r.actor.reason)
	text(`,"request_id"`, r.actor.requestID)
	text(`,"user_agent"`, r.actor.userAgent)
	b = append(append(b, `},"changes":`...), r.changes...)
	integer(`,"count"`, r.times)
	text(`,"id"`, r.id)
	integer(`,"number"`, number)
	text(`,"object"`, r.object)
	text(`,"problem"`, r.problem)
	text(`,"result"`, r.result)
	text(`,"tenant"`, r.tenant)
	integer(`,"time"`, r.time)
	return append(b, '}')
}

func appendChanges(b []byte, changes []tenancy.FieldChange) []byte {
	b = append(b, '[')
	for i, c := range changes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"after":`...), string(c.After))
		b = appendText(append(b, `,"before":`...), string(c.Before))
		b = appendText(append(b, `,"field":`...), c.Field)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendText appends a string in JSON as RFC 8785, section 3.2.2.2, has it. Bytes
// that are not UTF-8 are appended as they are.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		default:
			if j := strings.IndexByte("\b\t\n\f\r", c); j >= 0 {
				b = append(b, '\\', "btnfr"[j])
			} else {
				const digits = "0123456789abcdef"
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			}
		}
	}
	return append(b, '"')
}

// genesis is the hash before the first entry.
const genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// chain returns the hash of an entry's canonical form and of all entries before
// it, whose hash is previous.
func chain(previous string, line []byte) string {
	h := sha256.New()
	_, _ = h.Write([]byte(previous + "\n"))
	_, _ = h.Write(line)
	_, _ = h.Write([]byte{'\n'})
	return hex.EncodeToString(h.Sum(nil))
}

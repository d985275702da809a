package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Filter selects entries. A zero field does not restrict.
type Filter struct {
	// ID is the ID of one entry.
	ID string
	// Tenant is the tenant that the entries are about.
	Tenant tenancy.ID
	// Scope selects the entries about the tenants in it. Every scope but that of all tenants leaves out entries
	// about the whole service. A scope of tags needs the catalog's tables in the same database, and goes by the
	// present tags of tenants.
	Scope *tenancy.Scope
	// ActorKind and ActorID select the actor.
	ActorKind tenancy.ActorKind
	ActorID   string
	// Actions lists actions, such as "tenant.status".
	Actions []string
	// Results lists results.
	Results []tenancy.AuditResult
	// Text is a part of the action, the object, the tenant's ID, the problem, the
	// reason, or the actor's ID, address or request ID, whatever the case of its ASCII
	// letters. It does not look into changes.
	Text string
	// From and Before bound the time: from ≤ t < before.
	From, Before time.Time
	// OldestFirst lists the oldest entries first. Default: newest first.
	OldestFirst bool
	// After continues a listing behind an entry: see [Filter.Next].
	After tenancy.Cursor
	// Limit is how many entries there are at most. Default: all.
	Limit int
}

// Next returns the cursor that continues the listing behind the entry, the last one of a page. The cursor is
// valid for this filter and order only, and for pages of any size.
func (f *Filter) Next(last tenancy.Entry) tenancy.Cursor {
	return tenancy.NewCursor(f.query(), strconv.FormatInt(last.Time.UnixMicro(), 10), last.ID)
}

// Position returns the time and the ID of the entry behind which the listing
// continues; both are zero at the beginning. A cursor that is malformed, or of another
// filter, is an error that wraps [tenancy.ErrInvalid].
func (f *Filter) Position() (at time.Time, id string, err error) {
	if f.After == "" {
		return time.Time{}, "", nil
	}
	values, err := f.After.Values(f.query(), 2)
	if err != nil {
		return time.Time{}, "", err
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || tenancy.ID(values[1]).Validate() != nil {
		return time.Time{}, "", fmt.Errorf("%w: malformed cursor of an audit", tenancy.ErrInvalid)
	}
	return time.UnixMicro(n).UTC(), values[1], nil
}

// query is what cursors belong to.
func (f *Filter) query() string {
	scope := ""
	if f.Scope != nil {
		scope = f.Scope.String()
	}
	return fmt.Sprintf("audit %q %q %q %q %q %q %q %q %d %d %t", f.ID, f.Tenant, scope, f.ActorKind, f.ActorID, f.Actions, f.Results, f.Text,
		ceilMicro(f.From), ceilMicro(f.Before), f.OldestFirst)
}

// maxText is the length of the longest text that is looked for.
const maxText = 200

// listPage is how many entries are read at a time.
const listPage = 500

// Entries yields the entries that the filter selects, newest first, sealed or not. It reads them page by page,
// and holds no connection while the caller looks at an entry. After an error it yields nothing more. A
// malformed filter, and an entry that somebody made unreadable, are errors that wrap [tenancy.ErrInvalid].
func (t *Trail) Entries(ctx context.Context, f Filter) iter.Seq2[tenancy.Entry, error] {
	const op = "audit.Trail.Entries"
	return func(yield func(tenancy.Entry, error) bool) {
		where, args, err := f.where(t.dialect)
		if err != nil {
			yield(tenancy.Entry{}, wrap(op, err))
			return
		}
		left := f.Limit
		for {
			n := listPage
			if f.Limit > 0 {
				n = min(n, left)
			}
			page, err := t.page(ctx, where, args, f.OldestFirst, n)
			for i := range page {
				e, invalid := page[i].entry()
				if invalid != nil {
					yield(e, wrap(op, invalid))
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(tenancy.Entry{}, wrap(op, err))
				return
			}
			left -= len(page)
			if len(page) < n || f.Limit > 0 && left == 0 {
				return
			}
			last := &page[len(page)-1]
			f.After = f.Next(tenancy.Entry{ID: last.id, Time: time.UnixMicro(last.time)})
			if where, args, err = f.where(t.dialect); err != nil {
				yield(tenancy.Entry{}, wrap(op, err))
				return
			}
		}
	}
}

func (t *Trail) page(ctx context.Context, where []string, args []any, oldest bool, n int) ([]record, error) {
	order := ` ORDER BY time DESC, id DESC LIMIT ?`
	if oldest {
		order = ` ORDER BY time, id LIMIT ?`
	}
	return t.read(ctx, t.db, strings.Join(where, ` AND `)+order, append(slices.Clone(args), n)...)
}

// where returns the conditions of the filter.
func (f *Filter) where(d sqlkit.Dialect) (where []string, args []any, err error) {
	and := func(condition string, more ...any) {
		where, args = append(where, condition), append(args, more...)
	}
	and(`1 = 1`)
	if f.Limit < 0 {
		return nil, nil, fmt.Errorf("%w: limit %d", tenancy.ErrInvalid, f.Limit)
	}
	at, id, err := f.Position()
	if err != nil {
		return nil, nil, err
	}
	if id != "" {
		beyond, n := `<`, at.UnixMicro()
		if f.OldestFirst {
			beyond = `>`
		}
		and(fmt.Sprintf(`time %s= ? AND (time %[1]s ? OR id %[1]s ?)`, beyond), n, n, id)
	}
	if f.ID != "" {
		if err := tenancy.ID(f.ID).Validate(); err != nil {
			return nil, nil, fmt.Errorf("entry: %w", err)
		}
		and(`id = ?`, f.ID)
	}
	if f.Text != "" {
		if len(f.Text) > maxText || !utf8.ValidString(f.Text) || strings.ContainsRune(f.Text, 0) {
			return nil, nil, fmt.Errorf("%w: text of %d bytes, want UTF-8 of at most %d", tenancy.ErrInvalid, len(f.Text), maxText)
		}
		condition, args := textCondition(d, f.Text)
		and(condition, args...)
	}
	if f.Tenant != "" {
		if err := f.Tenant.Validate(); err != nil {
			return nil, nil, err
		}
		and(`tenant_id = ?`, f.Tenant)
	}
	for _, result := range f.Results {
		if !slices.Contains(tenancy.AuditResults(), result) {
			return nil, nil, fmt.Errorf("%w: result %.40q", tenancy.ErrInvalid, string(result))
		}
	}
	if f.ActorKind != "" {
		if err := (tenancy.Actor{Kind: f.ActorKind, ID: f.ActorID}).Validate(); err != nil {
			return nil, nil, err
		}
		and(`actor_kind = ?`, f.ActorKind)
	}
	if f.ActorID != "" {
		if err := (tenancy.Actor{Kind: tenancy.ActorUnknown, ID: f.ActorID}).Validate(); err != nil {
			return nil, nil, err
		}
		and(`actor_id = ?`, f.ActorID)
	}
	for _, action := range f.Actions {
		if strings.Trim(action, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" || action == "" {
			return nil, nil, fmt.Errorf("%w: action %.80q", tenancy.ErrInvalid, action)
		}
	}
	if !f.From.IsZero() {
		and(`time >= ?`, ceilMicro(f.From))
	}
	if !f.Before.IsZero() {
		and(`time < ?`, ceilMicro(f.Before))
	}
	if err := in(and, `action IN (?)`, f.Actions); err != nil {
		return nil, nil, err
	}
	if err := in(and, `result IN (?)`, f.Results); err != nil {
		return nil, nil, err
	}
	if s := f.Scope; s != nil && !s.IsAll() {
		if s.IsZero() {
			and(`1 = 0`)
		}
		if err := in(and, `tenant_id IN (?)`, s.IDs()); err != nil {
			return nil, nil, err
		}
		if err := in(and, `tenant_id IN (SELECT tenant_id FROM tenancy_tags WHERE tag IN (?))`, s.Tags()); err != nil {
			return nil, nil, err
		}
	}
	return where, args, nil
}

// textCondition returns the condition of [Filter.Text]. Each engine has its own idea of what the lower case of a
// letter beyond ASCII is, so the text is brought into the same form as the columns.
func textCondition(d sqlkit.Dialect, text string) (condition string, args []any) {
	lower, column := asciiLower(text), `LOWER(%s)`
	switch d {
	case sqlkit.Postgres:
		column = `LOWER(%s COLLATE "C")`
	case sqlkit.MySQL:
		lower = strings.ToLower(text)
	case sqlkit.SQLite:
	}
	columns := []string{"object", "problem", "reason", "actor_id", "actor_address", "request_id"}
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) { // MySQL refuses to compare ASCII columns with other text
		columns = append(columns, "action", "tenant_id")
	}
	like := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(lower) + "%"
	var conditions []string
	for _, name := range columns {
		conditions, args = append(conditions, fmt.Sprintf(column, name)+` LIKE ? ESCAPE '!'`), append(args, like)
	}
	return `(` + strings.Join(conditions, ` OR `) + `)`, args
}

// asciiLower returns the text with its ASCII letters in lower case.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// in adds a condition on one of several values, if there are any.
func in[T any](and func(string, ...any), condition string, values []T) error {
	if len(values) == 0 {
		return nil
	}
	query, args, err := sqlx.In(condition, values)
	if err != nil {
		return err
	}
	and(query, args...)
	return nil
}

// ceilMicro rounds up, because what is stored has been cut to microseconds.
func ceilMicro(t time.Time) int64 {
	n := t.UnixMicro()
	if time.UnixMicro(n).Before(t) {
		n++
	}
	return n
}

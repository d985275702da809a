package analytics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// StatementSource is an optional interface for a [Source] that keeps the texts of
// statements.
type StatementSource interface {
	// Statements returns the sums of each tenant and text that the query selects, in its
	// order.
	Statements(ctx context.Context, q *StatementsQuery) ([]StatementRow, error)
}

// StatementsQuery selects statements.
type StatementsQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	// Period is that of the statements: their hours count whole, and their days where hours
	// are kept no longer.
	Period Period
	// Limit is how many at most: those with the longest executions, the longest first.
	Limit int
}

// StatementRow is what was counted for a statement of a tenant.
type StatementRow struct {
	Tenant      tenancy.ID
	Fingerprint int64
	Text        string
	Calls       int64
	Errors      int64
	Time        time.Duration
	Longest     time.Duration
}

// byLongest is the order of statements.
func byLongest(a, b StatementRow) int {
	return cmp.Or(cmp.Compare(b.Longest, a.Longest), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Fingerprint, b.Fingerprint))
}

// StatementReport is a statement of a tenant. Of each tenant, instance and hour the 20
// texts with the longest executions are kept: the calls, errors and time of a text are
// those since it was among them.
type StatementReport struct {
	Tenant tenancy.ID `json:"tenant_id"`
	// Text has no literals and no comments. It ends with … where it is cut.
	Text        string  `json:"text"`
	Fingerprint string  `json:"fingerprint"`
	Calls       *Figure `json:"calls"`
	Errors      *Figure `json:"errors"`
	Time        *Figure `json:"time"`    // of all calls
	Longest     *Figure `json:"longest"` // of one call
}

// slowestStatements returns the statements with the longest executions, of one tenant or,
// without an ID, of all tenants of the scope. It is nil if nobody counts statements.
func (r *Reports) slowestStatements(ctx context.Context, scope tenancy.Scope, ids []tenancy.ID, p Period, f figures) ([]StatementReport, error) {
	if r.statements == nil || f.of(StatementTime, 0) == nil {
		return nil, nil
	}
	p.From, p.To = p.From.Truncate(time.Hour), ceil(p.To, time.Hour)
	rows, err := r.statements.Statements(ctx, &StatementsQuery{Scope: scope, Tenants: ids, Period: p, Limit: maxStatements})
	if err == nil {
		rows, err = inScope(ctx, r, scope, rows, (*StatementRow).tenant)
	}
	out := []StatementReport{}
	for _, row := range rows {
		out = append(out, StatementReport{
			Tenant: row.Tenant, Text: row.Text, Fingerprint: fmt.Sprintf("%016x", uint64(row.Fingerprint)), // its bits
			Calls: f.count(row.Calls), Errors: f.count(row.Errors),
			Time: f.of(StatementTime, row.Time.Microseconds()), Longest: f.of(StatementTime, row.Longest.Microseconds()),
		})
	}
	return out, err
}

// slowest sorts rows and returns the first.
func slowest(rows []StatementRow, limit int) []StatementRow {
	slices.SortFunc(rows, byLongest)
	return rows[:min(len(rows), limit)]
}

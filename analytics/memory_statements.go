package analytics

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
)

type statementKey struct {
	tenant      tenancy.ID
	start       int64
	source      int64
	fingerprint int64
}

func (m *Memory) putStatement(p *StatementPart, now time.Time) {
	m.known(p.Tenant, now)
	key := statementKey{p.Tenant, p.Start.UnixMicro(), p.Source, p.Fingerprint}
	if old := m.statements[key]; old != nil && old.Revision >= p.Revision {
		return
	}
	part := *p
	m.statements[key] = &part
	if len(m.statements) > m.opts.MaxRows {
		oldest := int64(math.MaxInt64)
		for key := range m.statements {
			oldest = min(oldest, key.start)
		}
		maps.DeleteFunc(m.statements, func(key statementKey, _ *StatementPart) bool { return key.start == oldest })
	}
}

// Statements implements [StatementSource].
func (m *Memory) Statements(ctx context.Context, q *StatementsQuery) ([]StatementRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[statementKey]*StatementRow{}
	for key, p := range m.statements {
		if p.Start.Before(q.Period.From) || !p.Start.Before(q.Period.To) || !m.includes(q.Scope, q.Tenants, key.tenant) {
			continue
		}
		key.start, key.source = 0, 0
		if found[key] == nil {
			found[key] = &StatementRow{}
		}
		found[key].add(&StatementRow{p.Tenant, p.Fingerprint, p.Text, p.Calls, p.Errors, p.Time, p.Longest})
	}
	rows := make([]StatementRow, 0, len(found))
	for _, row := range found {
		rows = append(rows, *row)
	}
	return slowest(rows, q.Limit), nil
}

package admin

import (
	"context"

	"github.com/artflow-studio/tenancy/admin/auth"
)

// chainRoutes are the rows by which the audit is taken away to be verified.
func (a *Admin) chainRoutes() []route {
	return []route{
		{method: "GET", pattern: "audit/chain", permission: auth.AuditExport, reach: allOf, stepUp: true, action: "audit.export", part: partChain, handle: a.exportChain},
	}
}

// exportChain writes the canonical form of all sealed entries, by which they are verified without the database. No line is left out or
// changed, or the hashes would be others.
func (a *Admin) exportChain(c *call) error {
	return a.export(c, exported{"application/jsonl", "audit-chain.jsonl"}, func(ctx context.Context, w *exportWriter) error {
		return a.opts.Audit.Export(ctx, w)
	})
}

package audit

import (
	"context"
	"time"
)

// Pending returns how many entries are not sealed yet, and when the oldest of them was written. Some are always there for a moment: an
// oldest one of more than a minute says that no instance seals.
func (t *Trail) Pending(ctx context.Context) (n int64, oldest time.Time, err error) {
	var row struct {
		N      int64  `db:"n"`
		Oldest *int64 `db:"oldest"`
	}
	if err := t.db.GetContext(ctx, &row, `SELECT COUNT(*) AS n, MIN(time) AS oldest FROM tenancy_audit WHERE number IS NULL`); err != nil {
		return 0, time.Time{}, wrap("audit.Trail.Pending", err)
	}
	if row.Oldest != nil {
		oldest = time.UnixMicro(*row.Oldest).UTC()
	}
	return row.N, oldest, nil
}

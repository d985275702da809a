package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// sealedWithin is how old an entry may be before it is sealed, beyond two intervals of the sealer: one that counts
// what was refused is written when its time of counting is over.
const sealedWithin = foldTime + time.Minute

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database does not answer, or if an entry without a seal is older than
// two minutes and twice [Options.SealEvery]: no instance calls [Trail.Run], or sealing fails, and then the log says why.
func (t *Trail) Check(ctx context.Context) error {
	n, oldest, err := t.Pending(ctx)
	if age := time.Since(oldest); err == nil && n > 0 && age > sealedWithin+2*t.opts.SealEvery {
		err = fmt.Errorf("%w: %d entries are not sealed, the oldest for %v", tenancy.ErrUnavailable, n, age.Round(time.Second))
	}
	return wrap("audit.Trail.Check", err)
}

// Pending returns the number of entries that are not sealed yet, and when the oldest of them was written. Some entries are always pending for
// a moment.
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

package analytics

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// On PostgreSQL the tables of counts are partitioned by time. Retention
// drops whole partitions. The keeper makes partitions ahead of time, and a writer that finds
// none for its rows makes it.

// partitioned are the tables that have partitions, with the span of one. The function
// tenancy_usage_partition of the migrations has the same spans.
var partitioned = map[string]time.Duration{
	partsTable.name:   time.Hour,
	minutesTable.name: day,
	hoursTable.name:   7 * day,
	daysTable.name:    91 * day,
}

// partition makes the table's partition for that time, if there is none and the table has
// partitions.
func (s *SQL) partition(ctx context.Context, t table, at time.Time) error {
	if s.dialect != sqlkit.Postgres {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, `SELECT tenancy_usage_partition($1, $2)`, t.name, at.UnixMicro()); err != nil {
		return fmt.Errorf("making a partition of %s for %v: %w", t.name, at, err)
	}
	return nil
}

// withPartitions calls fn, which writes rows of the table at those times. It calls fn once
// more when it failed because a partition is missing.
func (s *SQL) withPartitions(ctx context.Context, t table, times func() []time.Time, fn func() error) error {
	err := fn()
	if !sqlkit.IsNoPartition(err) {
		return err
	}
	made := map[time.Time]bool{}
	for _, at := range times() {
		begin := at.Truncate(time.Hour) // the shortest
		if made[begin] {
			continue
		}
		made[begin] = true
		if err := s.partition(ctx, t, at); err != nil {
			return err
		}
	}
	return fn()
}

// ahead makes the partitions of the present and of the next period of each table.
func (u *upkeep) ahead(ctx context.Context, now time.Time) error {
	for _, t := range []table{partsTable, minutesTable, hoursTable, daysTable} {
		for _, at := range []time.Time{now, now.Add(partitioned[t.name])} {
			if err := u.s.partition(ctx, t, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// How a partition is dropped: the lock waits for those who read it, and everybody else
// waits behind the lock.
const (
	dropWait     = 100 * time.Millisecond
	dropAttempts = 3
)

// drop removes the partitions that end before that time, of a table that has partitions. A
// partition that is in use for long stays until the next time.
func (u *upkeep) drop(ctx context.Context, t string, before int64) error {
	var names []string
	err := u.s.db.SelectContext(ctx, &names, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`, t)
	if err != nil {
		return err
	}
	for _, name := range names {
		begin, err := time.Parse("2006010215", strings.TrimPrefix(name, t+"_"))
		if err != nil || begin.Add(partitioned[t]).UnixMicro() > before {
			continue // somebody else's, or young
		}
		if err := u.dropOne(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (u *upkeep) dropOne(ctx context.Context, name string) error {
	for range dropAttempts {
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, dropWait.Milliseconds())); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `DROP TABLE IF EXISTS `+name)
			return err
		})
		if !sqlkit.IsLockTimeout(err) {
			return err
		}
	}
	u.s.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "analytics: an old partition of usage is in use; it is dropped later", slog.String("partition", name))
	return nil
}

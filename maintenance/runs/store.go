package runs

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

const (
	// versionTable records which migrations the package's tables have.
	versionTable = "tenancy_runs_version"
	leaseTable   = "tenancy_runs_leases"
)

// Migrate makes the tables of runs or brings them up to date. Call it on every
// start: many processes may call it at once.
func (r *Runner) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+string(r.dialect))
	if err == nil {
		_, err = sqlkit.Up(ctx, r.db.DB, r.dialect, files, versionTable)
	}
	return wrap("runs.Runner.Migrate", "", err)
}

// wrap names errors that have no sentinel.
func wrap(op string, id tenancy.ID, err error) error { return failure.Wrap(op, id, err) }

// forUpdate is what a SELECT ends with that locks the rows it finds until the
// transaction ends. SQLite has no such lock: its transactions that write come one
// after another.
func (r *Runner) forUpdate() string {
	if r.dialect == sqlkit.SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// skipLocked is forUpdate for rows of which any will do.
func (r *Runner) skipLocked() string {
	if r.dialect == sqlkit.SQLite {
		return ""
	}
	return " FOR UPDATE SKIP LOCKED"
}

// query returns a query for the dialect, in which NOW() is the time by the clock
// of the database.
func (r *Runner) query(q string) string {
	return r.dialect.Rebind(strings.ReplaceAll(q, "NOW()", r.dialect.Now()))
}

func (r *Runner) exec(ctx context.Context, db sqlx.ExecerContext, q string, args ...any) (int64, error) {
	res, err := db.ExecContext(ctx, r.query(q), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (r *Runner) get(ctx context.Context, db sqlx.QueryerContext, dest any, q string, args ...any) error {
	return sqlx.GetContext(ctx, db, dest, r.query(q), args...)
}

func (r *Runner) selects(ctx context.Context, db sqlx.QueryerContext, dest any, q string, args ...any) error {
	return sqlx.SelectContext(ctx, db, dest, r.query(q), args...)
}

// runRow is a row of tenancy_runs.
type runRow struct {
	ID        string         `db:"id"`
	Task      string         `db:"task"`
	State     State          `db:"state"`
	Reason    string         `db:"reason"`
	Spec      string         `db:"spec"`
	Actor     string         `db:"actor"`
	Key       sql.NullString `db:"idem_key"`
	Wave      int            `db:"wave"`
	CreatedAt int64          `db:"created_at"`
	ExpiresAt int64          `db:"expires_at"`
	StartedAt int64          `db:"started_at"`
	EndedAt   int64          `db:"ended_at"`
	ResumeAt  int64          `db:"resume_at"`
	Scope     sql.NullString `db:"scope"` // of who planned it, as JSON; NULL: all tenants
}

const runColumns = `id, task, state, reason, spec, actor, idem_key, wave, created_at, expires_at, started_at, ended_at, resume_at, scope`

// statePlanning is that of a plan that not all tenants are in yet. Nobody sees it.
const statePlanning State = "planning"

func (row *runRow) run() (*Run, error) {
	out := &Run{
		ID: row.ID, Task: row.Task, State: row.State, Reason: row.Reason, Wave: row.Wave,
		CreatedAt: fromMicro(row.CreatedAt), ExpiresAt: fromMicro(row.ExpiresAt), StartedAt: fromMicro(row.StartedAt),
		EndedAt: fromMicro(row.EndedAt), ResumeAt: fromMicro(row.ResumeAt),
	}
	if err := json.Unmarshal([]byte(row.Spec), &out.Spec); err != nil {
		return nil, fmt.Errorf("%w: spec of run %s: %w", tenancy.ErrInvalid, row.ID, err)
	}
	if err := json.Unmarshal([]byte(row.Actor), &out.Actor); err != nil {
		return nil, fmt.Errorf("%w: actor of run %s: %w", tenancy.ErrInvalid, row.ID, err)
	}
	return out, nil
}

// planner returns the scope of who planned the run.
func (row *runRow) planner() (tenancy.Scope, error) {
	scope := tenancy.AllTenants()
	if !row.Scope.Valid {
		return scope, nil
	}
	if err := json.Unmarshal([]byte(row.Scope.String), &scope); err != nil {
		return tenancy.Scope{}, fmt.Errorf("scope of run %s: %w", row.ID, err)
	}
	return scope, nil
}

// waveRow is a row of tenancy_run_waves.
type waveRow struct {
	Wave     int   `db:"wave"`
	LastSeq  int64 `db:"last_seq"`
	Forgiven int   `db:"forgiven"`
	Busy     int64 `db:"busy"`
	Counts
}

const waveColumns = `wave, last_seq, total, done, failed, skipped, cancelled, forgiven, busy`

// itemRow is a row of tenancy_run_tenants.
type itemRow struct {
	Seq        int64       `db:"seq"`
	Tenant     tenancy.ID  `db:"tenant_id"`
	Slug       string      `db:"slug"`
	Server     string      `db:"server"`
	Tags       string      `db:"tags"`
	State      TenantState `db:"state"`
	Attempt    int         `db:"attempt"`
	Fence      int64       `db:"fence"`
	Ticket     int64       `db:"ticket"`
	Note       string      `db:"note"`
	Checkpoint string      `db:"checkpoint"`
	StartedAt  int64       `db:"started_at"`
	EndedAt    int64       `db:"ended_at"`
}

const itemColumns = `seq, tenant_id, slug, server, tags, state, attempt, fence, ticket, note, checkpoint, started_at, ended_at`

func (row *itemRow) result() Result {
	return Result{
		Number: row.Seq, Tenant: row.Tenant, Slug: row.Slug, State: row.State, Attempt: row.Attempt, Text: row.Note,
		Checkpoint: row.Checkpoint, StartedAt: fromMicro(row.StartedAt), EndedAt: fromMicro(row.EndedAt),
	}
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// maxText is the length of the longest error or reason that is kept, in bytes.
const maxText = 2000

// clip makes a text one that every engine can keep.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	cut := maxText - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Package audit keeps the audit: who changed what, in a form in which later
// changes show.
//
// A [Trail] writes each entry in the transaction of the change that it is about:
// if the entry cannot be written, the change is not made. [Trail.Run] seals what
// was committed: it numbers the entries and chains them by SHA-256, so that
// [Trail.Verify] finds a sealed entry that was altered, removed or moved, and one
// that was inserted among them. An entry that somebody writes into the table without
// a number is sealed like any other. Writers do not wait for each other or for the
// sealer. With [Options.Key] it signs checkpoints, which show whether the owner of
// the database computed all anew.
//
//	trail, err := audit.New(db, nil)
//	err = trail.Migrate(ctx)
//	go trail.Run(ctx)
//	cat, err := catalog.New(db, &catalog.Options{Audit: trail})
//
// The file docs/audit.md specifies the form of an entry and of the chain to the
// byte, and says what the audit cannot show.
package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"embed"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations the audit's tables have.
const versionTable = "tenancy_audit_version"

// writeTimeout bounds a write.
const writeTimeout = 10 * time.Second

// Trail is the audit in a SQL database. It is a [tenancy.Auditor]. Its methods may
// be called by many goroutines and by many processes at once.
type Trail struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	leases  *sqlkit.Leases
	folder  *folder
	lost    atomic.Int64
	sinking chan struct{} // has one in it while a call of the sink is under way
	cutStep int64
	opts    Options
}

var _ tenancy.Auditor = (*Trail)(nil)

// Options are the options of [New].
type Options struct {
	// SealEvery is how often [Trail.Run] seals what was committed. Default: 500
	// milliseconds.
	SealEvery time.Duration
	// Key signs checkpoints. Default: none are made.
	Key ed25519.PrivateKey
	// OldKeys are the keys that have signed earlier checkpoints. Default: none.
	OldKeys []ed25519.PublicKey
	// CheckpointEvery is how often [Trail.Run] makes a checkpoint, if there are new entries. It needs a Key.
	// Default: 1 minute.
	CheckpointEvery time.Duration
	// Keep is how long entries are kept. Once an hour [Trail.Run] removes the entries before the last
	// checkpoint that is older: see [Trail.Cut]. It needs a Key. Default: forever.
	Keep time.Duration
	// Sink keeps checkpoints where the owner of the database cannot reach them: in a file, behind a webhook, in
	// an object store. After an error it gets the same checkpoint again; it may get a checkpoint twice. A call has
	// 30 seconds: then its context ends, and no other call begins before it has returned. Sealing does not wait for
	// the sink. It needs a Key. Default: checkpoints are kept in their table alone.
	Sink func(ctx context.Context, c Checkpoint) error
	// Logger records when sealing fails. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

func (o *Options) complete() error {
	if o.SealEvery < 0 {
		return fmt.Errorf("%w: SealEvery %v", tenancy.ErrInvalid, o.SealEvery)
	}
	if o.CheckpointEvery < 0 {
		return fmt.Errorf("%w: CheckpointEvery %v", tenancy.ErrInvalid, o.CheckpointEvery)
	}
	if o.Keep < 0 || o.Keep > 0 && o.Key == nil {
		return fmt.Errorf("%w: Keep %v, with a key: %t", tenancy.ErrInvalid, o.Keep, o.Key != nil)
	}
	if o.Key == nil && (o.Sink != nil || o.CheckpointEvery > 0) {
		return fmt.Errorf("%w: CheckpointEvery %v, with a sink: %t, and no key: no checkpoint would be made", tenancy.ErrInvalid, o.CheckpointEvery, o.Sink != nil)
	}
	if o.Key != nil && len(o.Key) != ed25519.PrivateKeySize {
		return fmt.Errorf("%w: key of %d bytes, want an Ed25519 key of %d", tenancy.ErrInvalid, len(o.Key), ed25519.PrivateKeySize)
	}
	o.Key, o.OldKeys = slices.Clone(o.Key), slices.Clone(o.OldKeys)
	for _, key := range o.OldKeys {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: old key of %d bytes, want an Ed25519 key of %d", tenancy.ErrInvalid, len(key), ed25519.PublicKeySize)
		}
	}
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, time.Minute)
	o.SealEvery = cmp.Or(o.SealEvery, 500*time.Millisecond)
	o.Logger = logs.Or(o.Logger)
	return nil
}

// New returns the audit in a SQL database, whose dialect is that of db.DriverName: pgx, postgres, mysql or
// sqlite. A package that writes entries must keep its tables in the same database and use the same *sql.DB.
// The caller closes db. Malformed options are errors that wrap [tenancy.ErrInvalid].
func New(db *sqlx.DB, opts *Options) (*Trail, error) {
	const op = "audit.New"
	t := &Trail{db: db, folder: newFolder(), sinking: make(chan struct{}, 1), cutStep: cutStep}
	if opts != nil {
		t.opts = *opts
	}
	if err := t.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var err error
	if t.leases, err = sqlkit.NewLeases(db, "tenancy_audit_leases"); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if t.dialect, err = sqlkit.FromDriver(db.DriverName()); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return t, nil
}

// Database returns the database of the entries.
func (t *Trail) Database() *sql.DB { return t.db.DB }

// Migrate makes the audit's tables or brings them up to date. Call it on every
// start; many processes may call it at once.
func (t *Trail) Migrate(ctx context.Context) error {
	return wrap("audit.Trail.Migrate", t.migrate(ctx))
}

func (t *Trail) migrate(ctx context.Context) error {
	if err := sqlkit.Migrate(ctx, t.db.DB, t.dialect, migrations, versionTable); err != nil {
		return err
	}
	// The first row of the head. One that was removed is not made again: that
	// would begin a second chain.
	var rows int
	err := t.db.GetContext(ctx, &rows,
		`SELECT (SELECT COUNT(*) FROM tenancy_audit_head) + (SELECT COUNT(*) FROM tenancy_audit_cut) + (SELECT COUNT(*) FROM tenancy_audit WHERE number = 1)`)
	if err != nil || rows > 0 {
		return err
	}
	_, err = t.db.ExecContext(ctx, t.dialect.Rebind(
		`INSERT INTO tenancy_audit_head (id, trail, number, hash, sealed_at) VALUES (1, ?, 0, ?, 0)`), tenancy.NewID(), genesis)
	if sqlkit.IsUnique(err) {
		return nil // another process was faster
	}
	return err
}

// Audit writes the entry within tx, or with a nil tx in a transaction of its own. It implements
// [tenancy.Auditor].
//
// Entries without tx about what was denied or failed are folded. Of those that differ only in time, request and
// problem, the first in a minute is written at once, and [Trail.Run] writes how many more there were. If they
// differ, at most ten a second are written at once.
func (t *Trail) Audit(ctx context.Context, tx *sql.Tx, e tenancy.Entry) error {
	const op = "audit.Trail.Audit"
	if err := e.Validate(); err != nil {
		return wrap(op, err)
	}
	if e.Number != 0 {
		return wrap(op, fmt.Errorf("%w: entry %s has the number %d already", tenancy.ErrInvalid, e.ID, e.Number))
	}
	if tx != nil {
		return wrap(op, t.write(ctx, tx, e))
	}
	if foldable := e.Result == tenancy.AuditDenied || e.Result == tenancy.AuditFailed; foldable && t.folder.fold(e, time.Now()) {
		return nil
	}
	return wrap(op, t.writeAlone(ctx, e))
}

// writeAlone writes an entry that belongs to no transaction, and counts it if it is
// lost.
func (t *Trail) writeAlone(ctx context.Context, e tenancy.Entry) error {
	err := t.write(ctx, t.db, e)
	if err != nil {
		t.lost.Add(e.Count)
	}
	return err
}

func (t *Trail) write(ctx context.Context, db sqlx.ExecerContext, e tenancy.Entry) error {
	r := recordOf(e)
	_, err := db.ExecContext(ctx, t.dialect.Rebind(insert), r.values()...)
	if sqlkit.IsUnique(err) {
		return fmt.Errorf("%w: entry %s", tenancy.ErrExists, e.ID)
	}
	return err
}

// Written reports whether the entry with that ID was written. Ask it when the answer to a commit was lost.
func (t *Trail) Written(ctx context.Context, id string) (bool, error) {
	var n int
	err := t.db.GetContext(ctx, &n, t.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_audit WHERE id = ?`), id)
	return n > 0, wrap("audit.Trail.Written", err)
}

// Keep returns for how long entries are kept, as [Options.Keep] says, and whether
// [Trail.Cut] can remove old ones: it needs [Options.Key]. Zero: for ever.
func (t *Trail) Keep() (keep time.Duration, cuts bool) { return t.opts.Keep, t.opts.Key != nil }

// Stat is what a [Trail] has done in this process.
type Stat struct {
	// Lost is the number of entries about denied or failed actions that could not be written.
	Lost int64 `json:"lost"`
	// Folding is the number of kinds of entries that are being counted.
	Folding int `json:"folding"`
}

// Stat returns what the trail has done.
func (t *Trail) Stat() Stat { return Stat{Lost: t.lost.Load(), Folding: t.folder.len()} }

// wrap names errors that have no sentinel.
func wrap(op string, err error) error { return failure.Wrap(op, "", err) }

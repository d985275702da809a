package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// errEnded says that a session was ended while a request of it was under way.
var errEnded = fmt.Errorf("%w: the session was ended", tenancy.ErrUnauthenticated)

// sessionRow is a row of tenancy_auth_sessions without its token.
type sessionRow struct {
	ID         string `db:"id"`
	OperatorID string `db:"operator_id"`
	CreatedAt  int64  `db:"created_at"`
	LastSeenAt int64  `db:"last_seen_at"`
	ExpiresAt  int64  `db:"expires_at"`
	Address    string `db:"address"`
	UserAgent  string `db:"user_agent"`
}

const sessionColumns = `id, operator_id, created_at, last_seen_at, expires_at, address, user_agent`

// intent says what a commit is for. scs calls Commit for a new session and for a changed one alike, and a store that writes
// either way brings back a session that was ended meanwhile.
type intent struct {
	create *sessionRow   // the row of a new session
	renew  bool          // the next delete and commit are one move to a new token
	old    string        // the token that the renewal deletes
	found  *sessionRow   // the row that Find read
	id     string        // find the session with that ID, whatever its token is now
	ending bool          // find the session by the token before its last renewal, too
	idle   time.Duration // how long a session may be unused
	tx     *sqlx.Tx      // reads and writes are in that transaction, unless it is nil
}

type intentKey struct{}

func withIntent(ctx context.Context, i *intent) context.Context {
	return context.WithValue(ctx, intentKey{}, i)
}

func intentOf(ctx context.Context) *intent {
	if i, ok := ctx.Value(intentKey{}).(*intent); ok {
		return i
	}
	return &intent{}
}

// sessionStore is the scs.CtxStore over SQL. Tokens arrive hashed. What it does differently from the stores of scs:
//
//   - It never makes a session again that was ended: a commit updates a row that is there, and only a sign-in inserts one.
//   - The idle time is a column of its own that it updates once a minute, so requests do not write the session.
//   - A renewal moves the row to its new token in one statement; with the row's expiry the lifetime stays.
type sessionStore struct {
	*store
}

// on is the database, or the intent's transaction in it.
func (s *sessionStore) on(in *intent) sqlx.ExtContext {
	if in.tx != nil {
		return in.tx
	}
	return s.db
}

// FindCtx returns the data of a session that is neither idle for too long nor expired.
func (s *sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var row struct {
		sessionRow
		Data []byte `db:"data"`
	}
	at, in := now(), intentOf(ctx)
	which, args := `token_hash = ?`, []any{token}
	switch {
	case in.id != "":
		which, args = `id = ?`, []any{in.id}
	case in.ending:
		which, args = `(token_hash = ? OR previous_hash = ?)`, []any{token, token}
	}
	err := s.get(ctx, s.on(in), &row, `SELECT data, `+sessionColumns+` FROM tenancy_auth_sessions
		WHERE `+which+` AND expires_at > ? AND last_seen_at > ?`, append(args, micro(at), micro(at.Add(-in.idle)))...)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	in.found = &row.sessionRow
	return row.Data, true, nil
}

// CommitCtx writes a session as the context's intent says. A session that is gone is an error that wraps
// [tenancy.ErrUnauthenticated].
func (s *sessionStore) CommitCtx(ctx context.Context, token string, data []byte, _ time.Time) error {
	in := intentOf(ctx)
	at := micro(now())
	if r := in.create; r != nil {
		_, err := s.exec(ctx, s.on(in), `INSERT INTO tenancy_auth_sessions (token_hash, data, `+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			token, data, r.ID, r.OperatorID, r.CreatedAt, r.LastSeenAt, r.ExpiresAt, r.Address, r.UserAgent)
		return err
	}
	query, args := `UPDATE tenancy_auth_sessions SET data = ?, last_seen_at = ? WHERE token_hash = ? AND expires_at > ?`, []any{data, at, token, at}
	if in.renew {
		query = `UPDATE tenancy_auth_sessions SET data = ?, last_seen_at = ?, token_hash = ?, previous_hash = ? WHERE token_hash = ? AND expires_at > ?`
		args = []any{data, at, token, in.old, in.old, at}
	}
	n, err := s.exec(ctx, s.on(in), query, args...)
	if err == nil && n == 0 {
		return errEnded
	}
	return err
}

// DeleteCtx ends a session that was found, whatever its token is by now. In a renewal it only notes the token: CommitCtx moves the row.
func (s *sessionStore) DeleteCtx(ctx context.Context, token string) error {
	in := intentOf(ctx)
	if in.renew {
		in.old = token
		return nil
	}
	if in.found == nil {
		return nil
	}
	_, err := s.exec(ctx, s.on(in), `DELETE FROM tenancy_auth_sessions WHERE id = ?`, in.found.ID)
	return err
}

// Find, Commit and Delete make it an scs.Store, which calls the methods with a context instead.
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s *sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements scs.Store.
func (s *sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// seenEvery is how exact last_seen_at is.
const seenEvery = time.Minute

// touch notes that the operator is active, at most once a minute. It changes a row that is there, and makes none.
func (s *sessionStore) touch(ctx context.Context, r *sessionRow) error {
	at := now()
	if at.Sub(fromMicro(r.LastSeenAt)) < seenEvery {
		return nil
	}
	_, err := s.exec(ctx, s.db, `UPDATE tenancy_auth_sessions SET last_seen_at = ? WHERE id = ? AND last_seen_at < ?`,
		micro(at), r.ID, micro(at.Add(-seenEvery)))
	return err
}

// purge removes sessions that nobody can use any more.
func (s *sessionStore) purge(ctx context.Context, idle time.Duration) error {
	at := now()
	_, err := s.exec(ctx, s.db, `DELETE FROM tenancy_auth_sessions WHERE expires_at <= ? OR last_seen_at <= ?`, micro(at), micro(at.Add(-idle)))
	return err
}

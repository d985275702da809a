package auth

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Sessions returns the operator's sessions that can be used, the newest first, without their stages.
func (a *Auth) Sessions(ctx context.Context, operator string) ([]Session, error) {
	const op = "auth.Auth.Sessions"
	at := now()
	c, err := a.current(ctx)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var rows []sessionRow
	err = a.store.db.SelectContext(ctx, &rows, a.store.dialect.Rebind(`SELECT `+sessionColumns+` FROM tenancy_auth_sessions
		WHERE operator_id = ? AND expires_at > ? AND last_seen_at > ? ORDER BY created_at DESC, id LIMIT 1000`),
		operator, micro(at), micro(at.Add(-c.idle)))
	if err != nil {
		return nil, tenancy.Wrap(op, "", unavailable(err))
	}
	out := make([]Session, len(rows))
	for i := range rows {
		out[i] = rows[i].session()
	}
	return out, nil
}

// EndSession ends one session of the operator. One that is not theirs, or gone, is an error that wraps [tenancy.ErrNotFound].
func (a *Auth) EndSession(ctx context.Context, operator, session string) error {
	const op = "auth.Auth.EndSession"
	if !isID(session) {
		return tenancy.Wrap(op, "", fmt.Errorf("%w: no such session", tenancy.ErrNotFound))
	}
	return tenancy.Wrap(op, "", a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ? AND id = ?`, operator, session)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: no such session", tenancy.ErrNotFound)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "session.end", session, tenancy.AuditDone)
	}))
}

// EndSessions ends all sessions of the operator except one, whose ID may be empty, and returns how many it ended.
func (a *Auth) EndSessions(ctx context.Context, operator, except string) (ended int64, err error) {
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		ended, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ? AND id <> ?`, operator, except)
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "session.end_all", operator, tenancy.AuditDone)
	})
	return ended, tenancy.Wrap("auth.Auth.EndSessions", "", err)
}

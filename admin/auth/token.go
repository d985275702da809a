package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

const (
	// tokenPrefix begins each token. What follows are its owner, its ID, and 256 random bits with a checksum, as in API keys of tenants.
	tokenPrefix = "tenancy_console"
	// maxTokenLife is the longest that a token is valid for.
	maxTokenLife = 366 * 24 * time.Hour
	// maxTokens is how many valid tokens an operator may have to make another. By rotating they get twice as many: each beside its successor.
	maxTokens = 50
	// usedEvery is how exact the last use of a token is.
	usedEvery = time.Minute
)

// NeverForTokens are the permissions that no token has, whatever its owner may do.
func NeverForTokens() Permissions {
	return NewPermissions(OperatorsRead, OperatorsWrite, SessionsEnd, TokensWrite, IPRulesWrite, SettingsWrite)
}

// Token is a token of a machine. Its text is kept nowhere.
type Token struct {
	ID         string
	OperatorID string // its owner
	Name       string
	// Permissions and Scope are what was granted. At each use the token has of it what its owner has then.
	Permissions Permissions
	Scope       tenancy.Scope
	// StepUp are those of the permissions whose routes it may use although they ask for fresh credentials.
	StepUp Permissions
	// Allow are the addresses that it may be used from; none is all.
	Allow     []netip.Prefix
	CreatedAt time.Time
	ExpiresAt time.Time
	// UsedAt is when it was used last, to the minute, and UsedFrom from where; the zero time is never.
	UsedAt   time.Time
	UsedFrom netip.Addr
	// ReplacedBy is the token that was made in its place, or empty.
	ReplacedBy string
}

// TokenSpec is what [Auth.IssueToken] needs.
type TokenSpec struct {
	Name        string
	Permissions Permissions
	StepUp      Permissions
	Scope       tenancy.Scope
	Allow       []netip.Prefix
	// TTL is how long it is valid: a year at most.
	TTL time.Duration
}

type tokenRow struct {
	ID          string `db:"id"`
	Hash        string `db:"token_hash"`
	OperatorID  string `db:"operator_id"`
	Name        string `db:"name"`
	Permissions string `db:"permissions"`
	StepUp      string `db:"step_up"`
	Scope       string `db:"scope"`
	Allow       string `db:"allow"`
	CreatedAt   int64  `db:"created_at"`
	ExpiresAt   int64  `db:"expires_at"`
	UsedAt      int64  `db:"used_at"`
	UsedFrom    string `db:"used_from"`
	ReplacedBy  string `db:"replaced_by"`
}

const tokenColumns = `id, token_hash, operator_id, name, permissions, step_up, scope, allow, created_at, expires_at, used_at, used_from, replaced_by`

func (r *tokenRow) token() (*Token, error) {
	t := &Token{ID: r.ID, OperatorID: r.OperatorID, Name: r.Name, CreatedAt: fromMicro(r.CreatedAt), ExpiresAt: fromMicro(r.ExpiresAt), UsedAt: fromMicro(r.UsedAt), ReplacedBy: r.ReplacedBy}
	t.UsedFrom, _ = netip.ParseAddr(r.UsedFrom)
	for text, to := range map[*string]any{&r.Permissions: &t.Permissions, &r.StepUp: &t.StepUp, &r.Scope: &t.Scope, &r.Allow: &t.Allow} {
		if err := json.Unmarshal([]byte(*text), to); err != nil {
			return nil, fmt.Errorf("token %s: %w", r.ID, err)
		}
	}
	return t, nil
}

// isTokenID reports whether a text may be the ID of a token. Databases answer others with errors.
func isTokenID(s string) bool {
	return len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func (a *Auth) tokenRow(ctx context.Context, on sqlx.QueryerContext, id string) (*tokenRow, error) {
	var row tokenRow
	if !isTokenID(id) {
		return nil, fmt.Errorf("%w: token %.80q", tenancy.ErrNotFound, id)
	}
	if err := a.store.get(ctx, on, &row, `SELECT `+tokenColumns+` FROM tenancy_auth_tokens WHERE id = ?`, id); err != nil {
		return nil, err
	}
	return &row, nil
}

// Token returns the token with that ID, or an error that wraps [tenancy.ErrNotFound].
func (a *Auth) Token(ctx context.Context, id string) (*Token, error) {
	const op = "auth.Auth.Token"
	row, err := a.tokenRow(ctx, a.store.db, id)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	t, err := row.token()
	return t, tenancy.Wrap(op, "", err)
}

// Tokens returns a page of tokens that are valid, in ascending order of ID: at most limit of those after that ID, of that operator or, if
// it is empty, of all. What can be no ID is an error that wraps [tenancy.ErrInvalid].
func (a *Auth) Tokens(ctx context.Context, operator, after string, limit int) ([]*Token, error) {
	const op = "auth.Auth.Tokens"
	if operator != "" && !isID(operator) || !isTokenID(after) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: tokens of %.80q after %.80q", tenancy.ErrInvalid, operator, after))
	}
	query, args := `SELECT `+tokenColumns+` FROM tenancy_auth_tokens WHERE expires_at > ? AND id > ?`, []any{micro(now()), after}
	if operator != "" {
		query, args = query+` AND operator_id = ?`, append(args, operator)
	}
	var rows []tokenRow
	if err := a.store.db.SelectContext(ctx, &rows, a.store.dialect.Rebind(query+` ORDER BY id LIMIT ?`), append(args, limit)...); err != nil {
		return nil, tenancy.Wrap(op, "", unavailable(err))
	}
	out := make([]*Token, len(rows))
	for i := range rows {
		t, err := rows[i].token()
		if err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
		out[i] = t
	}
	return out, nil
}

// IssueToken makes a token of the operator who asks, and returns its text, which nobody is shown again. More than the operator has is an
// error that wraps [tenancy.ErrForbidden]; a malformed field is a [*FieldError].
func (a *Auth) IssueToken(ctx context.Context, by *Identity, spec TokenSpec) (tenancy.Secret, *Token, error) {
	const op = "auth.Auth.IssueToken"
	at := now()
	t := &Token{OperatorID: by.Operator.ID, Name: strings.TrimSpace(spec.Name), Permissions: spec.Permissions, StepUp: spec.StepUp, Scope: spec.Scope, Allow: spec.Allow,
		CreatedAt: at, ExpiresAt: at.Add(spec.TTL)}
	if err := checkToken(t, spec.TTL); err != nil {
		return tenancy.Secret{}, nil, tenancy.Wrap(op, "", err)
	}
	var text tenancy.Secret
	err := a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// This row is the lock: of two at once, the second counts the first.
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.store.operatorBy(ctx, tx, "id", by.Operator.ID)
		if err != nil {
			return err
		}
		owner, err := row.operator()
		if err != nil {
			return err
		}
		has := a.opts.Roles[owner.Role]
		if owner.Disabled || by.Token != nil || !has.Has(TokensWrite) || !has.Includes(t.Permissions) || !covers(owner.Scope, t.Scope) {
			return fmt.Errorf("%w: a token with more than its owner has", tenancy.ErrForbidden)
		}
		if err := a.mayHaveMore(ctx, tx, owner.ID, maxTokens); err != nil {
			return err
		}
		text, err = a.insertToken(ctx, tx, t, "token.issue")
		return err
	})
	if err != nil {
		return tenancy.Secret{}, nil, tenancy.Wrap(op, "", err)
	}
	return text, t, nil
}

// mayHaveMore refuses one more token of an operator who has so many valid ones.
func (a *Auth) mayHaveMore(ctx context.Context, tx *sqlx.Tx, operator string, most int) error {
	var n int
	if err := a.store.get(ctx, tx, &n, `SELECT COUNT(*) FROM tenancy_auth_tokens WHERE operator_id = ? AND expires_at > ?`, operator, micro(now())); err != nil {
		return err
	}
	if n >= most {
		return fmt.Errorf("%w: %d tokens", tenancy.ErrConflict, n)
	}
	return nil
}

func checkToken(t *Token, ttl time.Duration) error {
	switch {
	case t.Name == "" || len(t.Name) > maxName || !utf8.ValidString(t.Name) || strings.ContainsFunc(t.Name, unicode.IsControl):
		return &FieldError{"name", "malformed", tenancy.ErrInvalid}
	case ttl <= 0 || ttl > maxTokenLife:
		return &FieldError{"ttl", "range", fmt.Errorf("%w: a token for %v, want up to %v", tenancy.ErrInvalid, ttl, maxTokenLife)}
	case t.Permissions == 0 || t.Permissions&NeverForTokens() != 0:
		return &FieldError{"permissions", "malformed", fmt.Errorf("%w: no permission, or one that no token has", tenancy.ErrInvalid)}
	case !t.Permissions.Includes(t.StepUp):
		return &FieldError{"step_up", "malformed", fmt.Errorf("%w: a permission that the token lacks", tenancy.ErrInvalid)}
	case t.Scope.IsZero():
		return &FieldError{"scope", "malformed", fmt.Errorf("%w: the scope of nobody", tenancy.ErrInvalid)}
	case len(t.Allow) > maxRules || slices.ContainsFunc(t.Allow, func(p netip.Prefix) bool { return !canonical(p) }):
		return &FieldError{"allow", "malformed", tenancy.ErrInvalid}
	}
	return nil
}

// insertToken adds the token under a new ID, with its entry, and returns its text.
func (a *Auth) insertToken(ctx context.Context, tx *sqlx.Tx, t *Token, action string) (tenancy.Secret, error) {
	key := credential.NewKey(tokenPrefix, tenancy.ID(t.OperatorID))
	t.ID = key.ID
	var texts [4]string
	for i, v := range []any{t.Permissions, t.StepUp, t.Scope, append([]netip.Prefix{}, t.Allow...)} {
		b, err := json.Marshal(v)
		if err != nil {
			return tenancy.Secret{}, err
		}
		texts[i] = string(b)
	}
	_, err := a.store.exec(ctx, tx, `INSERT INTO tenancy_auth_tokens (`+tokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '')`,
		t.ID, tenancy.DigestOf(key.Text).String(), t.OperatorID, t.Name, texts[0], texts[1], texts[2], texts[3], micro(t.CreatedAt), micro(t.ExpiresAt))
	if err == nil {
		err = a.audit(ctx, tx, action, t.ID, tenancy.AuditDone, change("name", nil, t.Name), change("owner", nil, t.OperatorID), change("permissions", nil, t.Permissions),
			change("scope", nil, t.Scope), change("expires", nil, t.ExpiresAt))
	}
	return tenancy.NewSecret(key.Text), err
}

// RotateToken makes a token like the operator's old one, which is valid for as long as that was to be, and lets the old one expire after
// that time. Until then both are valid. A token that is not the operator's, or not valid, is an error that wraps [tenancy.ErrNotFound],
// and one that was rotated before [tenancy.ErrConflict].
func (a *Auth) RotateToken(ctx context.Context, by *Identity, id string, after time.Duration) (tenancy.Secret, *Token, error) {
	const op = "auth.Auth.RotateToken"
	if after < 0 || after > maxTokenLife {
		return tenancy.Secret{}, nil, tenancy.Wrap(op, "", &FieldError{"after", "range", tenancy.ErrInvalid})
	}
	var text tenancy.Secret
	var made *Token
	err := a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.tokenRow(ctx, tx, id)
		at := now()
		if err == nil && (row.OperatorID != by.Operator.ID || row.ExpiresAt <= micro(at)) {
			err = fmt.Errorf("%w: token %s", tenancy.ErrNotFound, id)
		}
		if err == nil && row.ReplacedBy != "" {
			err = fmt.Errorf("%w: the token was rotated before", tenancy.ErrConflict)
		}
		if err != nil {
			return err
		}
		if err := a.mayHaveMore(ctx, tx, row.OperatorID, 2*maxTokens); err != nil {
			return err
		}
		if made, err = row.token(); err != nil {
			return err
		}
		lasts := made.ExpiresAt.Sub(made.CreatedAt)
		end := min(row.ExpiresAt, micro(at.Add(after)))
		made.CreatedAt, made.ExpiresAt, made.UsedAt, made.UsedFrom = at, at.Add(lasts), time.Time{}, netip.Addr{}
		if text, err = a.insertToken(ctx, tx, made, "token.rotate"); err != nil {
			return err
		}
		_, err = a.store.exec(ctx, tx, `UPDATE tenancy_auth_tokens SET expires_at = ?, replaced_by = ? WHERE id = ?`, end, made.ID, id)
		return err
	})
	if err != nil {
		return tenancy.Secret{}, nil, tenancy.Wrap(op, "", err)
	}
	return text, made, nil
}

// RevokeToken ends a token, of the operator who asks or of one that has no more than they have. One that is not there, or not valid, is an
// error that wraps [tenancy.ErrNotFound].
func (a *Auth) RevokeToken(ctx context.Context, by *Identity, id string) error {
	const op = "auth.Auth.RevokeToken"
	return tenancy.Wrap(op, "", a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.tokenRow(ctx, tx, id)
		if err != nil {
			return err
		}
		if row.OperatorID != by.Operator.ID {
			owner, err := a.store.operatorBy(ctx, tx, "id", row.OperatorID)
			if err != nil {
				return err
			}
			o, err := owner.operator()
			if err != nil {
				return err
			}
			if err := a.MayGrant(by.Operator, o.Role, o.Scope); err != nil {
				return err
			}
		}
		n, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_tokens WHERE id = ?`, id)
		if err == nil && (n == 0 || row.ExpiresAt <= micro(now())) {
			err = fmt.Errorf("%w: token %s", tenancy.ErrNotFound, id)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "token.revoke", id, tenancy.AuditDone, change("name", row.Name, nil), change("owner", row.OperatorID, nil))
	}))
}

// errToken is the only error for a token that does not work: it must not tell an attacker why.
var errToken = fmt.Errorf("%w: not a valid token", tenancy.ErrUnauthenticated)

// identifyToken returns the identity of a machine: of what was granted to it, what its owner has now.
func (a *Auth) identifyToken(r *http.Request, text string, c *current) (*Identity, error) {
	key, ok := credential.ParseKey(tokenPrefix, text)
	if !ok || !key.Genuine() {
		return nil, errToken
	}
	if err := a.mayCarryCredentials(r); err != nil {
		return nil, err
	}
	ctx, at, addr := r.Context(), now(), a.Client(r)
	row, err := a.tokenRow(ctx, a.store.db, key.ID)
	if isNotFound(err) {
		err = errToken
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(row.Hash), []byte(tenancy.DigestOf(text).String())) != 1 || row.ExpiresAt <= micro(at) {
		return nil, errToken
	}
	t, err := row.token()
	if err != nil {
		return nil, err
	}
	owner, err := a.store.operatorBy(ctx, a.store.db, "id", t.OperatorID)
	if err == nil && owner.DisabledAt != 0 || isNotFound(err) {
		err = errToken
	}
	if err != nil {
		return nil, err
	}
	o, err := owner.operator()
	if err != nil {
		return nil, err
	}
	id := &Identity{
		Operator: o, Token: t, Session: Session{Stage: StageFull}, Settings: c.settings, Address: addr, stepUp: c.stepUp,
		Permissions: a.opts.Roles[o.Role] & t.Permissions &^ NeverForTokens(), Scope: intersect(o.Scope, t.Scope),
	}
	if !within(t.Allow, addr) || !c.admits(o, addr) {
		return nil, a.refuseAddress(ctx, id)
	}
	if at.Sub(t.UsedAt) >= usedEvery || t.UsedFrom != addr {
		if _, err := a.store.exec(ctx, a.store.db, `UPDATE tenancy_auth_tokens SET used_at = ?, used_from = ? WHERE id = ?`, micro(at), addrText(addr), t.ID); err != nil {
			return nil, err
		}
	}
	return id, nil
}

func addrText(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// intersect returns a scope whose tenants are certainly in both. It may lack some that are: those of tags and IDs, which no scope says.
func intersect(x, y tenancy.Scope) tenancy.Scope {
	switch {
	case covers(x, y):
		return y
	case covers(y, x):
		return x
	}
	var tags []string
	for _, tag := range x.Tags() {
		if slices.Contains(y.Tags(), tag) {
			tags = append(tags, tag)
		}
	}
	if tags != nil {
		return tenancy.ByTags(tags...)
	}
	var ids []tenancy.ID
	for _, id := range x.IDs() {
		if slices.Contains(y.IDs(), id) {
			ids = append(ids, id)
		}
	}
	return tenancy.ByIDs(ids...)
}

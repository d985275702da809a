package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

func compare(x, y string) int { return strings.Compare(x, y) }

// Operator is a person who runs the service through the console.
type Operator struct {
	ID    string
	Email string // in lower case
	Name  string
	Role  string
	Scope tenancy.Scope
	// Disabled operators cannot sign in, and their sessions count no more.
	Disabled bool
	// SecondFactor says whether one is enrolled.
	SecondFactor bool
	// Version grows by one with every change.
	Version    int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
	SignedInAt time.Time // the zero time: never
}

// operatorRow is a row of tenancy_auth_operators.
type operatorRow struct {
	ID            string `db:"id"`
	Email         string `db:"email"`
	Name          string `db:"name"`
	PasswordHash  string `db:"password_hash"`
	Role          string `db:"role"`
	Scope         string `db:"scope"`
	DisabledAt    int64  `db:"disabled_at"`
	TOTPSecret    string `db:"totp_secret"`
	TOTPConfirmed int64  `db:"totp_confirmed"`
	TOTPStep      int64  `db:"totp_step"`
	FactorMisses  int64  `db:"factor_misses"`
	FactorLocked  int64  `db:"factor_locked"`
	FailedSignIns int64  `db:"failed_sign_ins"`
	Version       int64  `db:"version"`
	CreatedAt     int64  `db:"created_at"`
	UpdatedAt     int64  `db:"updated_at"`
	SignedInAt    int64  `db:"signed_in_at"`
}

const operatorColumns = `id, email, name, password_hash, role, scope, disabled_at, totp_secret, totp_confirmed, totp_step,
	factor_misses, factor_locked, failed_sign_ins, version, created_at, updated_at, signed_in_at`

func (r *operatorRow) operator() (*Operator, error) {
	o := &Operator{
		ID: r.ID, Email: r.Email, Name: r.Name, Role: r.Role, Disabled: r.DisabledAt != 0, SecondFactor: r.TOTPConfirmed != 0,
		Version: r.Version, CreatedAt: fromMicro(r.CreatedAt), UpdatedAt: fromMicro(r.UpdatedAt), SignedInAt: fromMicro(r.SignedInAt),
	}
	if err := json.Unmarshal([]byte(r.Scope), &o.Scope); err != nil {
		return nil, fmt.Errorf("scope of operator %s: %w", r.ID, err)
	}
	return o, nil
}

// isID reports whether a text may be the ID of an operator or a session. Databases answer others with errors.
func isID(s string) bool { return tenancy.ID(s).Validate() == nil }

func (s *store) operatorBy(ctx context.Context, on sqlx.QueryerContext, column, value string) (*operatorRow, error) {
	var row operatorRow
	if column == "id" && !isID(value) {
		return nil, fmt.Errorf("%w: operator %.80q", tenancy.ErrNotFound, value)
	}
	if err := s.get(ctx, on, &row, `SELECT `+operatorColumns+` FROM tenancy_auth_operators WHERE `+column+` = ?`, value); err != nil {
		return nil, err
	}
	return &row, nil
}

// maxName is the length of the longest name, in bytes.
const maxName = 200

// maxEmail is the length of the longest address, in bytes. Source: RFC 5321, section 4.5.3.1.3, less the angle brackets.
const maxEmail = 254

// canonicalEmail returns an address as it is compared and kept.
func canonicalEmail(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) > maxEmail { // nothing else is done with what may have a mebibyte
		return "", fmt.Errorf("%w: e-mail address of %d bytes", tenancy.ErrInvalid, len(s))
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Address != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("%w: e-mail address", tenancy.ErrInvalid)
	}
	return s, nil
}

// OperatorSpec is what [Auth.CreateOperator] needs.
type OperatorSpec struct {
	Email string
	// Name is for people. Default: Email.
	Name     string
	Role     string
	Scope    tenancy.Scope
	Password string
}

// check brings the spec into canonical form. The errors are [*FieldError]s.
func (a *Auth) check(spec *OperatorSpec) error {
	if err := a.checkWho(spec); err != nil {
		return err
	}
	return a.checkPassword(spec.Password, spec.Email)
}

// checkWho is check without the password.
func (a *Auth) checkWho(spec *OperatorSpec) error {
	email, err := canonicalEmail(spec.Email)
	if err != nil {
		return &FieldError{"email", "malformed", err}
	}
	spec.Email = email
	if spec.Name = strings.TrimSpace(spec.Name); spec.Name == "" {
		spec.Name = clip(email, maxName)
	}
	if !utf8.ValidString(spec.Name) || len(spec.Name) > maxName || strings.ContainsFunc(spec.Name, unicode.IsControl) {
		return &FieldError{"name", "malformed", tenancy.ErrInvalid}
	}
	if _, ok := a.opts.Roles[spec.Role]; !ok {
		return &FieldError{"role", "unknown", tenancy.ErrInvalid}
	}
	return nil
}

// checkPassword refuses a password that this operator must not have.
func (a *Auth) checkPassword(password, email string) error {
	local, _, _ := strings.Cut(email, "@")
	err := checkPassword(password, local, a.opts.Name)
	if err == nil && a.opts.RefusePassword != nil && a.opts.RefusePassword(password) {
		err = fmt.Errorf("%w: password: it is on a list of refused passwords", tenancy.ErrInvalid)
	}
	if err != nil {
		return &FieldError{"password", "weak", err}
	}
	return nil
}

// FieldError names the field of the input that is malformed, and why in one word. It wraps an error that wraps [tenancy.ErrInvalid].
type FieldError struct {
	Field string
	Code  string
	Err   error
}

// Error returns the text for logs.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the error underneath.
func (e *FieldError) Unwrap() error { return e.Err }

// CreateOperator makes an operator who signs in with that password. The caller checks that the one who asks may grant the role and
// scope. A taken address is an error that wraps [tenancy.ErrExists]; a malformed field is a [*FieldError].
func (a *Auth) CreateOperator(ctx context.Context, spec OperatorSpec) (*Operator, error) {
	const op = "auth.Auth.CreateOperator"
	if err := a.check(&spec); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	hash, err := a.hasher.Hash(ctx, spec.Password)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var made *Operator
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if spec.Role == RoleOwner { // from now on no setup token makes another
			if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET claimed_at = ? WHERE id = 1 AND claimed_at = 0`, micro(now())); err != nil {
				return err
			}
		}
		made, err = a.insert(ctx, tx, &spec, hash)
		return err
	})
	return made, tenancy.Wrap(op, "", err)
}

// insert adds the operator, with its entry, which has more fields beside those of the record.
func (a *Auth) insert(ctx context.Context, tx *sqlx.Tx, spec *OperatorSpec, hash string, more ...tenancy.FieldChange) (*Operator, error) {
	scope, err := json.Marshal(spec.Scope)
	if err != nil {
		return nil, err
	}
	at := micro(now())
	row := &operatorRow{ID: string(tenancy.NewID()), Email: spec.Email, Name: spec.Name, PasswordHash: hash, Role: spec.Role, Scope: string(scope),
		Version: 1, CreatedAt: at, UpdatedAt: at}
	_, err = a.store.exec(ctx, tx, `INSERT INTO tenancy_auth_operators (`+operatorColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, 0, '', 0, 0, 0, 0, 0, 1, ?, ?, 0)`, row.ID, row.Email, row.Name, row.PasswordHash, row.Role, row.Scope, at, at)
	if err != nil {
		return nil, err
	}
	changes := append([]tenancy.FieldChange{change("email", nil, row.Email), change("role", nil, row.Role), change("scope", nil, spec.Scope)}, more...)
	if err := a.audit(ctx, tx, "operator.create", row.ID, tenancy.AuditDone, changes...); err != nil {
		return nil, err
	}
	return row.operator()
}

// change is a field before and after, as the audit keeps it: of what is long, such as a scope of a thousand tenants, the digest.
func change(field string, before, after any) tenancy.FieldChange {
	shown := func(v any) json.RawMessage {
		if v == nil {
			return nil
		}
		return tenancy.AuditValue(v)
	}
	return tenancy.FieldChange{Field: field, Before: shown(before), After: shown(after)}
}

// Operator returns the operator with that ID, or an error that wraps [tenancy.ErrNotFound].
func (a *Auth) Operator(ctx context.Context, id string) (*Operator, error) {
	row, err := a.store.operatorBy(ctx, a.store.db, "id", id)
	if err != nil {
		return nil, tenancy.Wrap("auth.Auth.Operator", "", err)
	}
	return row.operator()
}

// Covers reports whether every tenant of inner is certainly one of outer. Operators see those others whose scope theirs covers: a wider
// one names tenants that are not their business.
func Covers(outer, inner tenancy.Scope) bool { return covers(outer, inner) }

// Operators returns a page of operators in ascending order of ID: at most limit of those after that ID.
func (a *Auth) Operators(ctx context.Context, after string, limit int) ([]*Operator, error) {
	const op = "auth.Auth.Operators"
	if after != "" && !isID(after) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: operators after %.80q", tenancy.ErrInvalid, after))
	}
	var rows []operatorRow
	err := a.store.db.SelectContext(ctx, &rows, a.store.dialect.Rebind(
		`SELECT `+operatorColumns+` FROM tenancy_auth_operators WHERE id > ? ORDER BY id LIMIT ?`), after, limit)
	if err != nil {
		return nil, tenancy.Wrap(op, "", unavailable(err))
	}
	out := make([]*Operator, len(rows))
	for i := range rows {
		if out[i], err = rows[i].operator(); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	return out, nil
}

// OperatorChange is what [Auth.UpdateOperator] changes. A nil field stays as it is.
type OperatorChange struct {
	Name     *string
	Role     *string
	Scope    *tenancy.Scope
	Disabled *bool
}

// UpdateOperator changes an operator whose record still has that version. by is the ID of the operator who asks, or empty for the
// application itself. Operators need [OperatorsWrite] and all that the changed operator has before and after; in the transaction of the
// change they still must. They cannot change their own role and scope, and the last owner who can sign in stays one. The errors wrap
// [tenancy.ErrNotFound], [tenancy.ErrConflict] for another version, [tenancy.ErrForbidden] for what by may not change, or are a
// [*FieldError].
func (a *Auth) UpdateOperator(ctx context.Context, id string, version int64, by string, c OperatorChange) (*Operator, error) {
	const op = "auth.Auth.UpdateOperator"
	if id == by && (c.Role != nil || c.Scope != nil || c.Disabled != nil) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: operators do not change their own role", tenancy.ErrForbidden))
	}
	var changed *Operator
	err := a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// This row is the lock: of two owners who demote each other, the second sees what the first did.
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.store.operatorBy(ctx, tx, "id", id)
		if err != nil {
			return err
		}
		if row.Version != version {
			return fmt.Errorf("%w: the operator has version %d now", tenancy.ErrConflict, row.Version)
		}
		if by != "" {
			if err := a.mayChange(ctx, tx, by, row, c); err != nil {
				return err
			}
		}
		changed, err = a.apply(ctx, tx, row, c)
		return err
	})
	return changed, tenancy.Wrap(op, "", err)
}

// mayChange reports whether the operator with that ID may grant what the row has, and what it has after the change.
func (a *Auth) mayChange(ctx context.Context, tx *sqlx.Tx, by string, row *operatorRow, c OperatorChange) error {
	o, err := row.operator()
	if err != nil {
		return err
	}
	if err := a.grants(ctx, tx, by, o.Role, o.Scope); err != nil {
		return err
	}
	if c.Role != nil {
		o.Role = *c.Role
	}
	if c.Scope != nil {
		o.Scope = *c.Scope
	}
	return a.grants(ctx, tx, by, o.Role, o.Scope)
}

// apply writes the change of the row that tx has read under its lock.
func (a *Auth) apply(ctx context.Context, tx *sqlx.Tx, row *operatorRow, c OperatorChange) (*Operator, error) {
	before, err := row.operator()
	if err != nil {
		return nil, err
	}
	after := *before
	var changes []tenancy.FieldChange
	if c.Name != nil && *c.Name != before.Name {
		if after.Name = strings.TrimSpace(*c.Name); after.Name == "" || len(after.Name) > maxName || strings.ContainsFunc(after.Name, unicode.IsControl) || !utf8.ValidString(after.Name) {
			return nil, &FieldError{"name", "malformed", tenancy.ErrInvalid}
		}
		changes = append(changes, change("name", before.Name, after.Name))
	}
	if c.Role != nil && *c.Role != before.Role {
		after.Role = *c.Role
		if _, ok := a.opts.Roles[after.Role]; !ok {
			return nil, &FieldError{"role", "unknown", tenancy.ErrInvalid}
		}
		changes = append(changes, change("role", before.Role, after.Role))
	}
	if c.Scope != nil && c.Scope.String() != before.Scope.String() {
		after.Scope = *c.Scope
		changes = append(changes, change("scope", before.Scope, after.Scope))
	}
	if c.Disabled != nil && *c.Disabled != before.Disabled {
		after.Disabled = *c.Disabled
		changes = append(changes, change("disabled", before.Disabled, after.Disabled))
	}
	if len(changes) == 0 {
		return before, nil
	}
	if isOwner(before) && !isOwner(&after) {
		var owners []operatorRow
		if err := tx.SelectContext(ctx, &owners, a.store.dialect.Rebind(`SELECT `+operatorColumns+` FROM tenancy_auth_operators
			WHERE role = ? AND disabled_at = 0 AND id <> ?`), RoleOwner, row.ID); err != nil {
			return nil, err
		}
		others := 0
		for i := range owners {
			if o, err := owners[i].operator(); err == nil && isOwner(o) {
				others++
			}
		}
		if others == 0 {
			return nil, fmt.Errorf("%w: this is the last owner", tenancy.ErrForbidden)
		}
	}
	scope, err := json.Marshal(after.Scope)
	if err != nil {
		return nil, err
	}
	at := now()
	disabled := row.DisabledAt
	if after.Disabled != before.Disabled {
		disabled = 0
		if after.Disabled {
			disabled = micro(at)
		}
	}
	after.Version, after.UpdatedAt = row.Version+1, at
	if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET name = ?, role = ?, scope = ?, disabled_at = ?, version = ?, updated_at = ?
		WHERE id = ?`, after.Name, after.Role, string(scope), disabled, after.Version, micro(at), row.ID); err != nil {
		return nil, err
	}
	if after.Disabled {
		if _, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ?`, row.ID); err != nil {
			return nil, err
		}
	}
	return &after, a.audit(ctx, tx, "operator.update", row.ID, tenancy.AuditDone, changes...)
}

// isOwner reports whether the operator can do everything to everybody.
func isOwner(o *Operator) bool { return o.Role == RoleOwner && o.Scope.IsAll() && !o.Disabled }

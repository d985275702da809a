package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// IPRules say from which addresses the console may be used: by all, by operators with a role, and by single operators, by their ID. An
// empty list is any address. Where several lists are about an operator, their address must be in each.
type IPRules struct {
	All       []netip.Prefix            `json:"all,omitempty"`
	Roles     map[string][]netip.Prefix `json:"roles,omitempty"`
	Operators map[string][]netip.Prefix `json:"operators,omitempty"`
}

func (r *IPRules) admits(role, operator string, addr netip.Addr) bool {
	return within(r.All, addr) && within(r.Roles[role], addr) && within(r.Operators[operator], addr)
}

// within reports whether the address is in one of the prefixes, or there are none.
func within(allow []netip.Prefix, addr netip.Addr) bool {
	return len(allow) == 0 || ipnet.Contains(allow, ipnet.Plain(addr))
}

// maxRules is how many prefixes a list has at most.
const maxRules = 200

// validate brings the rules into canonical form. The error is a [*FieldError].
func (a *Auth) validateRules(r *IPRules) error {
	check := func(field string, list []netip.Prefix) error {
		if len(list) > maxRules {
			return &FieldError{field, "range", fmt.Errorf("%w: %d prefixes, want at most %d", tenancy.ErrInvalid, len(list), maxRules)}
		}
		for _, p := range list {
			if !canonical(p) {
				return &FieldError{field, "malformed", fmt.Errorf("%w: prefix %v", tenancy.ErrInvalid, p)}
			}
		}
		return nil
	}
	if err := check("all", r.All); err != nil {
		return err
	}
	for role, list := range r.Roles {
		if _, ok := a.opts.Roles[role]; !ok {
			return &FieldError{"roles", "unknown", tenancy.ErrInvalid}
		}
		if err := check("roles", list); err != nil {
			return err
		}
	}
	for id, list := range r.Operators {
		if id == "" || len(id) > maxPrincipal {
			return &FieldError{"operators", "unknown", tenancy.ErrInvalid}
		}
		if err := check("operators", list); err != nil {
			return err
		}
	}
	none := func(_ string, list []netip.Prefix) bool { return len(list) == 0 }
	maps.DeleteFunc(r.Roles, none)
	maps.DeleteFunc(r.Operators, none)
	return nil
}

// LockedOut is a session that rules would end.
type LockedOut struct {
	Operator *Operator
	Address  netip.Addr
}

// Lockout is what rules would do to those who are signed in now.
type Lockout struct {
	// You says that the operator who asks could not come back from the address that they use.
	You bool
	// Owners says that no owner could be shown to come in: each has a rule, and no session that is complete and in use from an address that it
	// has.
	Owners bool
	// Sessions are those that would end, at most 100.
	Sessions []LockedOut
}

// maxLockedOut is how many sessions a [Lockout] names.
const maxLockedOut = 100

// IPRules returns the rules, and their version.
func (a *Auth) IPRules(ctx context.Context) (IPRules, int64, error) {
	c, err := a.current(ctx)
	if err != nil {
		return IPRules{}, 0, tenancy.Wrap("auth.Auth.IPRules", "", err)
	}
	return c.rules, c.rulesVersion, nil
}

// CheckIPRules says whom rules would lock out, without setting them. A malformed rule is a [*FieldError].
func (a *Auth) CheckIPRules(ctx context.Context, by *Identity, r IPRules) (*Lockout, error) {
	const op = "auth.Auth.CheckIPRules"
	if err := a.validateRules(&r); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	out, err := a.lockout(ctx, a.store.db, by, &r)
	return out, tenancy.Wrap(op, "", err)
}

// SetIPRules replaces the rules whose version is that one. They count from the next request on. Rules that would lock out the operator who
// sets them, or every owner, are a [*FieldError] and change nothing; another version is an error that wraps [tenancy.ErrConflict].
func (a *Auth) SetIPRules(ctx context.Context, by *Identity, version int64, r IPRules) error {
	const op = "auth.Auth.SetIPRules"
	if err := a.validateRules(&r); err != nil {
		return tenancy.Wrap(op, "", err)
	}
	return tenancy.Wrap(op, "", a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		before, err := a.currentOn(ctx, tx)
		if err != nil {
			return err
		}
		out, err := a.lockout(ctx, tx, by, &r)
		switch {
		case err != nil:
			return err
		case out.You:
			return &FieldError{"", "locks-out-you", fmt.Errorf("%w: the address %v of the operator who asks is in none of the lists", tenancy.ErrInvalid, by.Address)}
		case out.Owners:
			return &FieldError{"", "locks-out-owners", fmt.Errorf("%w: no owner could come in", tenancy.ErrInvalid)}
		}
		if err := a.replaceDocument(ctx, tx, rulesDocument, version, r); err != nil {
			return err
		}
		return a.audit(ctx, tx, "iprules.update", "", tenancy.AuditDone, change("rules", before.rules, r))
	}))
}

// lockout looks at who is signed in, and from where.
func (a *Auth) lockout(ctx context.Context, on sqlx.QueryerContext, by *Identity, r *IPRules) (*Lockout, error) {
	if a.opts.Authenticator != nil { // who the owners are, and from where they come, is the application's
		return &Lockout{You: by != nil && !r.admits(by.Operator.Role, by.Operator.ID, by.Address)}, nil
	}
	var rows []operatorRow
	if err := sqlx.SelectContext(ctx, on, &rows, `SELECT `+operatorColumns+` FROM tenancy_auth_operators WHERE disabled_at = 0 ORDER BY id`); err != nil {
		return nil, unavailable(err)
	}
	c, err := a.currentOn(ctx, on)
	if err != nil {
		return nil, err
	}
	operators := map[string]*Operator{}
	out := &Lockout{Owners: true}
	for i := range rows {
		o, err := rows[i].operator()
		if err != nil {
			return nil, err
		}
		operators[o.ID] = o
		if isOwner(o) && len(r.All) == 0 && len(r.Roles[o.Role]) == 0 && len(r.Operators[o.ID]) == 0 {
			out.Owners = false
		}
	}
	var sessions []struct {
		sessionRow
		Data []byte `db:"data"`
	}
	if err := sqlx.SelectContext(ctx, on, &sessions, a.store.dialect.Rebind(`SELECT data, `+sessionColumns+` FROM tenancy_auth_sessions
		WHERE expires_at > ? AND last_seen_at > ? ORDER BY id`), micro(now()), micro(now().Add(-c.idle))); err != nil {
		return nil, unavailable(err)
	}
	for i := range sessions {
		s := sessions[i].session()
		o := operators[s.OperatorID]
		if o == nil {
			continue
		}
		if r.admits(o.Role, o.ID, s.Address) {
			out.Owners = out.Owners && !(isOwner(o) && c.stage(stageIn(sessions[i].Data), o.SecondFactor) == StageFull)
		} else if len(out.Sessions) < maxLockedOut {
			out.Sessions = append(out.Sessions, LockedOut{o, s.Address})
		}
	}
	if by != nil {
		out.You = !r.admits(by.Operator.Role, by.Operator.ID, by.Address)
		if !out.You && isOwner(by.Operator) {
			out.Owners = false
		}
	}
	return out, nil
}

// MarshalJSON returns the rules with every list, so that a page can show them.
func (r IPRules) MarshalJSON() ([]byte, error) {
	type plain IPRules
	if r.All == nil {
		r.All = []netip.Prefix{}
	}
	if r.Roles == nil {
		r.Roles = map[string][]netip.Prefix{}
	}
	if r.Operators == nil {
		r.Operators = map[string][]netip.Prefix{}
	}
	return json.Marshal(struct {
		All       []netip.Prefix            `json:"all"`
		Roles     map[string][]netip.Prefix `json:"roles"`
		Operators map[string][]netip.Prefix `json:"operators"`
	}(plain(r)))
}

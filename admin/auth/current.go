package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Names of what operators decide for all of them.
const (
	settingsDocument = "settings"
	rulesDocument    = "ip-rules"
)

// current is what holds now: the options, and what operators have decided.
type current struct {
	settings Settings
	rules    IPRules
	// Versions of the two.
	settingsVersion, rulesVersion int64

	lifetime, idle, stepUp time.Duration
	optionalFactor         bool
}

// admits reports whether an operator may use the console from that address.
func (c *current) admits(o *Operator, addr netip.Addr) bool {
	return c.rules.admits(o.Role, o.ID, addr)
}

// stage returns the present stage of a session that was at stage was; enrolled says whether its operator has a second factor.
func (c *current) stage(was Stage, enrolled bool) Stage {
	switch {
	case was == StageEnrol && enrolled: // what came after the enrolment has failed
		return StageFactor
	case was == StageFull && !enrolled && !c.optionalFactor: // it is asked for meanwhile
		return StageEnrol
	}
	return was
}

// current reads what holds now. A change counts from the next request on, so it is not kept.
func (a *Auth) current(ctx context.Context) (*current, error) {
	return a.currentOn(ctx, a.store.db)
}

func (a *Auth) currentOn(ctx context.Context, on sqlx.QueryerContext) (*current, error) {
	var rows []struct {
		Name    string `db:"name"`
		Body    string `db:"body"`
		Version int64  `db:"version"`
	}
	if err := sqlx.SelectContext(ctx, on, &rows, `SELECT name, body, version FROM tenancy_auth_documents`); err != nil {
		return nil, unavailable(err)
	}
	c := &current{lifetime: a.opts.Lifetime, idle: a.opts.IdleTimeout, stepUp: a.opts.StepUp, optionalFactor: a.opts.OptionalSecondFactor}
	for _, row := range rows {
		var err error
		switch row.Name {
		case settingsDocument:
			c.settingsVersion, err = row.Version, json.Unmarshal([]byte(row.Body), &c.settings)
		case rulesDocument:
			c.rulesVersion, err = row.Version, json.Unmarshal([]byte(row.Body), &c.rules)
		}
		if err != nil { // somebody else wrote it: nobody is let in by half of a rule
			return nil, fmt.Errorf("%w: the document %q of the console is malformed: %w", tenancy.ErrUnavailable, row.Name, err)
		}
	}
	for _, d := range []struct {
		set *int64
		to  *time.Duration
	}{{c.settings.Lifetime, &c.lifetime}, {c.settings.IdleTimeout, &c.idle}, {c.settings.StepUp, &c.stepUp}} {
		if d.set != nil {
			*d.to = time.Duration(*d.set) * time.Second
		}
	}
	if c.settings.SecondFactor != nil {
		c.optionalFactor = !*c.settings.SecondFactor
	}
	return c, nil
}

// replaceDocument writes a document in place of the one with that version. Another version there is an error that wraps
// [tenancy.ErrConflict].
func (a *Auth) replaceDocument(ctx context.Context, tx *sqlx.Tx, name string, version int64, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_documents SET body = ?, version = version + 1, updated_at = ? WHERE name = ? AND version = ?`,
		string(body), micro(now()), name, version)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the %s have another version now", tenancy.ErrConflict, name)
	}
	return err
}

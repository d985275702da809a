package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Settings are what operators decide for the console. A nil field is as the options have it. Times are seconds.
type Settings struct {
	// Lifetime, IdleTimeout and StepUp are those of [Options]. A new lifetime counts for sessions that begin.
	Lifetime    *int64 `json:"lifetime,omitempty"`
	IdleTimeout *int64 `json:"idle_timeout,omitempty"`
	StepUp      *int64 `json:"step_up,omitempty"`
	// SecondFactor says whether operators must have one.
	SecondFactor *bool `json:"second_factor,omitempty"`
	// BulkThreshold is the number of tenants above which an action asks for fresh credentials.
	BulkThreshold *int64 `json:"bulk_threshold,omitempty"`
	// AuditRetention is for how long entries of the audit are kept: 30 days at least, so that nobody removes what they have just done.
	AuditRetention *int64 `json:"audit_retention,omitempty"`
}

// validate refuses settings by which nobody could work, or sessions would last forever. The error is a [*FieldError].
func (s *Settings) validate() error {
	for _, f := range []struct {
		name        string
		value       *int64
		least, most time.Duration
	}{
		{"lifetime", s.Lifetime, 5 * time.Minute, 30 * 24 * time.Hour}, {"idle_timeout", s.IdleTimeout, time.Minute, 24 * time.Hour},
		{"step_up", s.StepUp, time.Minute, time.Hour}, {"audit_retention", s.AuditRetention, 30 * 24 * time.Hour, 10 * 366 * 24 * time.Hour},
	} {
		if f.value != nil && (*f.value < int64(f.least/time.Second) || *f.value > int64(f.most/time.Second)) {
			return &FieldError{f.name, "range", fmt.Errorf("%w: %d s, want %v to %v", tenancy.ErrInvalid, *f.value, f.least, f.most)}
		}
	}
	if n := s.BulkThreshold; n != nil && (*n < 0 || *n > 1_000_000) {
		return &FieldError{"bulk_threshold", "range", fmt.Errorf("%w: %d", tenancy.ErrInvalid, *n)}
	}
	return nil
}

// Defaults returns the settings that hold where operators have decided nothing, without the threshold, which is of package admin.
func (a *Auth) Defaults() Settings {
	seconds := func(d time.Duration) *int64 { n := int64(d / time.Second); return &n }
	required := !a.opts.OptionalSecondFactor
	return Settings{Lifetime: seconds(a.opts.Lifetime), IdleTimeout: seconds(a.opts.IdleTimeout), StepUp: seconds(a.opts.StepUp), SecondFactor: &required}
}

// Settings returns what operators have decided, and its version.
func (a *Auth) Settings(ctx context.Context) (Settings, int64, error) {
	c, err := a.current(ctx)
	if err != nil {
		return Settings{}, 0, tenancy.Wrap("auth.Auth.Settings", "", err)
	}
	return c.settings, c.settingsVersion, nil
}

// SetSettings replaces the settings whose version is that one. Another version is an error that wraps [tenancy.ErrConflict]; a value that
// is out of its range is a [*FieldError].
func (a *Auth) SetSettings(ctx context.Context, version int64, s Settings) error {
	const op = "auth.Auth.SetSettings"
	if err := s.validate(); err != nil {
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
		if err := a.replaceDocument(ctx, tx, settingsDocument, version, s); err != nil {
			return err
		}
		return a.audit(ctx, tx, "settings.update", "", tenancy.AuditDone, change("console", before.settings, s))
	}))
}

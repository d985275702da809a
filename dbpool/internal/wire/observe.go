package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy/internal/probe"
)

// clock returns the present, or the zero time if nobody observes the connection.
func (c *Conn) clock() time.Time {
	if c.db.observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// since returns the time since clock returned began.
func since(began time.Time) time.Duration {
	if began.IsZero() {
		return 0
	}
	return time.Since(began)
}

// done is failed for the end of a statement, which it reports.
func (c *Conn) done(ctx context.Context, in call, err error) error {
	took := since(in.began)
	err = c.failed(ctx, in, err)
	c.observe(ctx, in.text, took, err)
	return err
}

// observe reports a statement and its text, if it has one, unless the driver left it to another of its methods, or it
// failed and its context says that it may (package probe).
func (c *Conn) observe(ctx context.Context, text string, took time.Duration, err error) {
	d := c.db
	if d.observer == nil || errors.Is(err, sqldriver.ErrSkip) || err != nil && probe.Is(ctx) {
		return
	}
	d.observer.ObserveStatement(ctx, d.Tenant, took, d.files != nil, err)
	if d.texts != nil && text != "" {
		d.texts.ObserveText(d.Tenant, d.DriverName(), text, took, err)
	}
}

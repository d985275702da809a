// Package checks judges the parts of a service and its tenants, for the console and for the command line.
package checks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance"
)

const (
	// Wait is how long the check of a part may take.
	Wait = 3 * time.Second
	// grace is how long a check may go on after its context has ended.
	grace = time.Second
	// SealerLate is the age of an entry of the audit that should have been sealed. One that counts what was refused is a
	// minute old when it is written.
	SealerLate = 2 * time.Minute
)

// ErrSilent is what a check gets that does not return.
var ErrSilent = errors.New("the check has not returned")

// Ask calls the check of a part. One that panics, or does not return although its time is over, is an error. ended is called when it has
// returned, be it after Ask.
func Ask(ctx context.Context, check func(context.Context) error, ended func()) error {
	bounded, cancel := context.WithTimeout(ctx, Wait)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			ended()
			answer <- err
		}()
		err = check(bounded)
	}()
	select {
	case err := <-answer:
		return err
	case <-bounded.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-answer:
		return err
	case <-late.C:
		return ErrSilent
	}
}

const (
	// Span is the time that a tenant's health is about. A tenant that was not used in it is unknown: nobody asks its database.
	Span = 15 * time.Minute
	// A tenant is degraded by errors if it had so many requests, of which so many failed.
	degradedRequests = 20
	degradedShare    = 0.05
)

// How a tenant is.
const (
	Healthy     = "healthy"
	Degraded    = "degraded"
	Unreachable = "unreachable"
	Unknown     = "unknown"
)

// Reason says why a tenant is not healthy, or what else there is to know.
type Reason struct {
	// Kind is for programs, such as "errors".
	Kind string    `json:"kind"`
	Text string    `json:"text"`
	At   time.Time `json:"since"`
}

// Seen is what is known about a tenant beside its figures; each time is zero if it is not so.
type Seen struct {
	// ServerDown and DatabaseDown are since when they are taken to be down, ServerUnknown since when no server is called as the record says.
	ServerDown, DatabaseDown, ServerUnknown time.Time
	// Closed is when maintenance began that is in force.
	Closed time.Time
}

// Tenant judges a tenant by its figures of the last [Span] and by what was seen. The reason that is worst comes first.
func Tenant(t *analytics.TenantEntry, seen Seen, now time.Time) (health string, reasons []Reason) {
	health, reasons = Healthy, []Reason{}
	switch {
	case !seen.ServerUnknown.IsZero():
		health, reasons = Unreachable, append(reasons, Reason{"server-unknown", "The service has no server that is called " + t.Server + ".", seen.ServerUnknown})
	case !seen.ServerDown.IsZero():
		health, reasons = Unreachable, append(reasons, Reason{"server-down", "The server " + t.Server + " does not answer.", seen.ServerDown})
	case !seen.DatabaseDown.IsZero():
		health, reasons = Unreachable, append(reasons, Reason{"database-down", "The tenant's database does not answer.", seen.DatabaseDown})
	}
	requests, failed := Value(t.Usage[analytics.Requests.String()]), Value(t.Usage[analytics.FigureErrors])
	if requests >= degradedRequests && failed >= degradedShare*requests {
		if health == Healthy {
			health = Degraded
		}
		reasons = append(reasons, Reason{"errors", "The service failed to answer many requests of the last 15 minutes.", now.Add(-Span)})
	}
	if !seen.Closed.IsZero() {
		reasons = append(reasons, Reason{"maintenance", "The tenant is under maintenance.", seen.Closed})
	}
	switch {
	case health != Healthy:
	case requests == 0:
		health = Unknown
		reasons = append(reasons, Reason{"unused", "There was no request in the last 15 minutes.", now.Add(-Span)})
	case !answered(t.Usage):
		health = Unknown
		reasons = append(reasons, Reason{"unanswered", "No statement in the tenant's database succeeded in the last 15 minutes.", now.Add(-Span)})
	}
	return health, reasons
}

// answered reports whether a statement in the tenant's database succeeded or, where nobody counts statements, a request did.
func answered(usage map[string]*analytics.Figure) bool {
	if statements := usage[analytics.Statements.String()]; statements != nil {
		return statements.Value > Value(usage[analytics.StatementErrors.String()])
	}
	return Value(usage[analytics.Status2xx.String()])+Value(usage[analytics.Status3xx.String()]) > 0
}

// Value returns the value of a figure, or 0 if it was not measured.
func Value(f *analytics.Figure) float64 {
	if f == nil {
		return 0
	}
	return f.Value
}

// Closed returns the tenants of a page that are under maintenance, and since when. A scope that is not nil bounds what is read.
func Closed(ctx context.Context, cat *catalog.Catalog, scope *tenancy.Scope, page *analytics.TenantsPage, now time.Time) (map[tenancy.ID]time.Time, error) {
	out, f := map[tenancy.ID]time.Time{}, tenancy.Filter{Scope: scope, Limit: len(page.Tenants)}
	for i := range page.Tenants {
		f.IDs = append(f.IDs, page.Tenants[i].ID)
	}
	if len(f.IDs) == 0 {
		return out, nil
	}
	found, err := cat.List(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		if m := t.Access.Maintenance; maintenance.StatusOf(m, now).InForce {
			out[t.ID] = m.BeganAt
		}
	}
	return out, nil
}

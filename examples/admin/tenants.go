package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// provision is the task by which a run makes the databases of tenants whose records are there.
const provision = "provision"

func (a *app) provision(ctx context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
	if t.Status != tenancy.StatusProvisioning {
		return tenancy.Skip("it is made already")
	}
	_, err := a.tenants.Resume(ctx, t.ID)
	if err == nil {
		return nil
	}
	// Another instance may have made it meanwhile.
	if now, found := a.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)}); found == nil && now.Status != tenancy.StatusProvisioning {
		return tenancy.Skip("it is made already")
	}
	return err
}

// firstTenants is how many tenants are made before the program says that it is ready. A run makes the others.
const firstTenants = 3

// makeTenants makes tenants with plans and tags, or finds those of an earlier start: the first at once, and the records of the others,
// whose databases a run makes that operators can follow. It returns the first.
func (a *app) makeTenants(ctx context.Context, n int) ([]*tenancy.Tenant, error) {
	ctx = tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "demo", Reason: "demo tenants"})
	var first []*tenancy.Tenant
	for i := range n {
		t := demoTenant(i)
		if i < firstTenants {
			made, err := a.tenants.Ensure(ctx, t)
			if err != nil {
				return nil, err
			}
			first = append(first, made)
			continue
		}
		if _, err := a.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug}); err == nil {
			continue // else the audit would say that it could not be made again
		}
		t.ID, t.Status = tenancy.NewID(), tenancy.StatusProvisioning
		t.Placement = tenancy.Placement{Server: a.server, Database: "tenant_" + string(t.ID)}
		if _, err := a.catalog.Create(ctx, t); err != nil && !errors.Is(err, tenancy.ErrExists) {
			return nil, err
		}
	}
	under, err := a.runner.List(ctx, runs.Query{Task: provision, States: []runs.State{runs.StateRunning, runs.StatePaused}, Limit: 1})
	if err != nil || len(under) > 0 { // of an earlier start, or of another instance
		return first, err
	}
	missing, err := a.catalog.List(ctx, tenancy.Filter{Status: []tenancy.Status{tenancy.StatusProvisioning}, Limit: 1})
	if err != nil || len(missing) == 0 {
		return first, err
	}
	plan, err := a.runner.Plan(ctx, provision, runs.Spec{Filter: "status:provisioning"})
	if err != nil {
		return nil, err
	}
	_, err = a.runner.Start(ctx, plan.ID)
	return first, err
}

func demoTenant(i int) *tenancy.Tenant {
	plans, tags := []string{"free", "pro", "business"}, [][]string{{"eu"}, {"us"}, {"eu", "overdue"}}
	name, slug := fmt.Sprintf("Tenant %d", i+1), fmt.Sprintf("tenant-%d", i+1)
	if i < firstTenants {
		name, slug = []string{"Acme", "Globex", "Initech"}[i], []string{"acme", "globex", "initech"}[i]
	}
	return &tenancy.Tenant{Slug: slug, Name: name, Plan: plans[i%len(plans)], Tags: tags[i%len(tags)], Settings: map[string]string{"notes": "public"}}
}

// active returns the tenants that are served, the oldest first.
func (a *app) active(ctx context.Context) ([]*tenancy.Tenant, error) {
	return a.catalog.List(ctx, tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}, Sort: "created", Limit: 300})
}

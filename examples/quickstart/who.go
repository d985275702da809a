package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

// stranger is a caller without a key.
func stranger(_ *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
	return &middleware.Principal{Tenant: t.ID}, nil
}

// mayRead lets strangers read where the tenant wants that. Without it everybody who
// names a tenant, in a path or a header, could read its notes.
func mayRead(_ context.Context, p *middleware.Principal, t *tenancy.Tenant) error {
	if p.ID == "" && t.Settings["readers"] != "everybody" {
		return fmt.Errorf("%w: only with a key", tenancy.ErrUnauthenticated)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

// keysOf authenticates by API keys.
func keysOf(used func(tenancy.ID, string, time.Time)) middleware.Authenticator {
	keys, err := middleware.NewKeyAuthenticator(keyPrefix, &middleware.KeyAuthenticatorOptions{Used: used})
	if err != nil {
		panic(err) // the prefix is constant
	}
	return keys
}

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

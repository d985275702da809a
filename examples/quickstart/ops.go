package main

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
)

// ops is what the operator of the service may do, who shows a token.
type ops struct {
	find  tenancy.Finder
	gate  *maintenance.Gate
	token tenancy.Secret
}

// close puts a tenant under maintenance for five minutes, or makes it read-only for
// as long, and answers with a link by which the operator is served all the same.
func (o *ops) close(w http.ResponseWriter, r *http.Request, t *tenancy.Tenant) error {
	scope, now := o.gate.Tenant(t.ID), time.Now()
	err := scope.Begin(r.Context(), tenancy.Maintenance{
		Mode:    tenancy.MaintenanceMode(r.URL.Query().Get("mode")), // "closed" if it says nothing
		Message: t.Name + " is being worked on.",
		Windows: []tenancy.Window{{Start: now, End: now.Add(5 * time.Minute)}},
	})
	if err != nil {
		return err
	}
	secret, err := scope.NewBypass(r.Context())
	if err == nil {
		answer(w, http.StatusOK, map[string]string{"bypass": "http://" + r.Host + "/t/" + t.Slug + "/.maintenance/bypass/" + secret.Reveal()})
	}
	return err
}

// open ends maintenance.
func (o *ops) open(w http.ResponseWriter, r *http.Request, t *tenancy.Tenant) error {
	err := o.gate.Tenant(t.ID).End(r.Context())
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// handle lets the operator do that to the tenant in the path. It is a page of the
// service's own, so the tenant is not the request's.
func (o *ops) handle(do func(http.ResponseWriter, *http.Request, *tenancy.Tenant) error) http.Handler {
	return middleware.CentralOnly(nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := tenancy.DigestOf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		want := tenancy.DigestOf(o.token.Reveal())
		err := fmt.Errorf("%w: not the operator's token", tenancy.ErrUnauthenticated)
		var t *tenancy.Tenant
		if subtle.ConstantTimeCompare(sent[:], want[:]) == 1 {
			t, err = o.find.Find(r.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: r.PathValue("slug")})
		}
		if err == nil {
			err = do(w, r, t)
		}
		if err != nil {
			middleware.Refuse(w, r, err, nil)
		}
	}))
}

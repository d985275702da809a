package admin

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/request"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// build makes the handler of the table.
func (a *Admin) build() (http.Handler, error) {
	mux := http.NewServeMux()
	seen := map[string]bool{}
	for i := range a.table {
		r := &a.table[i]
		if err := r.validate(); err != nil {
			return nil, err
		}
		if seen[r.String()] {
			return nil, fmt.Errorf("%w: route %s: twice", tenancy.ErrInvalid, r)
		}
		seen[r.String()] = true
		mux.Handle(r.String(), a.serve(r))
	}
	unknown := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.refuse(w, r, tenancy.ErrNotFound) })
	mux.Handle(base, unknown)
	mux.Handle(strings.TrimSuffix(base, "/"), unknown) // and no redirect
	if a.opts.Page != nil {
		mux.Handle("/", a.opts.Page)
	} else {
		mux.Handle("/", unknown)
	}
	return middleware.RequestID(&middleware.RequestIDOptions{Proxies: a.opts.Proxies})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.headers(w, r)
		if err := a.front(r); err != nil {
			a.refuse(w, r, err)
			return
		}
		mux.ServeHTTP(w, r)
	})), nil
}

// headers sets what every answer has. Source: OWASP, HTTP Security Response Headers Cheat Sheet.
func (a *Admin) headers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if a.opts.Proxies.Secure(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if strings.HasPrefix(r.URL.Path, base) {
		h.Set("Cache-Control", "no-store")
	}
}

// front refuses what no route may see: another host's requests, other sites', and paths in two spellings.
func (a *Admin) front(r *http.Request) error {
	if !a.isHost(r) {
		return problem.New(problem.Misdirected, fmt.Errorf("%w: host %.200q", tenancy.ErrInvalid, r.Host))
	}
	if err := a.origin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", tenancy.ErrForbidden, err)
	}
	if readsForOthers(r) {
		return fmt.Errorf("%w: sent by a page of another origin: %.40q", tenancy.ErrForbidden, r.Header.Get("Sec-Fetch-Site"))
	}
	if r.URL.RawPath != "" || !strings.HasPrefix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "//") || slices.ContainsFunc(strings.Split(r.URL.Path, "/"), func(s string) bool { return s == "." || s == ".." }) {
		return fmt.Errorf("%w: a path that is not in its plain form", tenancy.ErrNotFound)
	}
	return nil
}

// readsForOthers reports whether a page of another origin made the browser read from the API, as browsers say themselves. It cannot see the answer,
// but the cookie comes along from pages on the same site, such as those of tenants beside the console: they could use up the operator's exports,
// streams and requests, and write entries in their name.
// Source: W3C, Fetch Metadata Request Headers.
func readsForOthers(r *http.Request) bool {
	from := r.Header.Get("Sec-Fetch-Site")
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.HasPrefix(r.URL.Path, base) && from != "" && from != "same-origin" && from != "none"
}

// isHost reports whether the console answers for the host that the client asked for. A browser on this machine that was led here by
// another site's name is not answered: that name is not in the list, and not a loopback name.
func (a *Admin) isHost(r *http.Request) bool {
	if len(a.opts.Hosts) == 0 {
		return auth.IsLocal(r)
	}
	host, err := a.opts.Proxies.Host(r)
	if err != nil {
		return false
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return slices.Contains(a.opts.Hosts, strings.ToLower(strings.TrimSuffix(host, ".")))
}

// operatorRate is how many requests an operator may send.
var operatorRate = ratelimit.Rate{Limit: 1200, Period: time.Minute, Burst: 300}

// serve returns the handler of a row: everything that is checked before its own handler is called.
func (a *Admin) serve(row *route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.metrics != nil {
			began, s := time.Now(), &statusWriter{ResponseWriter: w}
			defer func() { a.metrics.request(context.WithoutCancel(r.Context()), row, s.status, began) }()
			w = s
		}
		c := &call{admin: a, row: row, w: w, r: r}
		if err := a.admit(c); err != nil {
			a.denied(c, err)
			a.refuse(w, r, err)
			return
		}
		ctx := r.Context()
		if c.id != nil {
			actor := c.id.Actor()
			actor.Reason = reason(r)
			ctx = tenancy.WithActor(ctx, actor)
		}
		request.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if row.permission != 0 && row.changes() && a.opts.Reports != nil { // sign-ins change no report, and anybody may send them
				changed := &renewer{ResponseWriter: w, reports: a.opts.Reports}
				defer changed.renew()
				w = changed
			}
			c.w, c.r = w, r
			if err := a.handleRow(c); err != nil {
				a.denied(c, err)
				a.refuse(w, r, err)
			}
		}), w, r, nil)
	})
}

// handleRow checks the request and calls the row's handler, once for each Idempotency-Key. A body may come slowly, and meanwhile the caller may have lost the
// session, the role or the tenant: what counts is what they may do when it is there.
func (a *Admin) handleRow(c *call) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.row.changes() && c.id != nil && c.r.ContentLength != 0 {
		err := a.identify(c)
		if err == nil {
			err = a.permit(c)
		}
		if err != nil {
			return err
		}
	}
	if key := c.r.Header.Get("Idempotency-Key"); c.row.idempotent && key != "" {
		return a.keys.once(c, key)
	}
	return c.row.handle(c)
}

// admit checks who asks and whether they may, and counts the request.
func (a *Admin) admit(c *call) error {
	if c.row.audience == everybody {
		return a.wired(c.row)
	}
	if err := a.identify(c); err != nil {
		return err
	}
	limits := []ratelimit.Limit{{Kind: ratelimit.Key, Class: "console", Key: c.id.Subject(), Rate: operatorRate}}
	if ok, err := a.opts.Limiter.Take(c.r.Context(), limits); err != nil || !ok {
		return cmp.Or(err, error(tenancy.ErrLimited))
	}
	if err := a.permit(c); err != nil {
		return err
	}
	if c.row.reach != pageSelf && c.r.Header.Get("X-Refresh") == "" {
		return a.auth.Active(c.r.Context(), c.id)
	}
	return nil
}

// identify finds out who asks, or whether they still may. Their sign-in must be as far as the row wants it.
func (a *Admin) identify(c *call) error {
	var id *auth.Identity
	var err error
	if c.id == nil {
		id, err = a.auth.Identify(c.r)
	} else {
		id, err = a.auth.IdentifyAgain(c.r, c.id)
	}
	if err != nil {
		return err
	}
	if id.Session.Stage != auth.StageFull && c.row.audience != signingIn {
		return fmt.Errorf("%w: the sign-in is not complete: %s", tenancy.ErrUnauthenticated, id.Session.Stage)
	}
	c.id = id
	if id.Token != nil && c.row.audience != permitted && !c.row.machine {
		return fmt.Errorf("%w: not for tokens", tenancy.ErrForbidden)
	}
	return nil
}

// permit checks what an identified operator may do: permission, scope, fresh credentials.
func (a *Admin) permit(c *call) (err error) {
	row, id := c.row, c.id
	if row.audience == permitted && !id.Permissions.Has(row.permission) {
		return fmt.Errorf("%w: permission %s is missing", tenancy.ErrForbidden, row.permission)
	}
	if row.reach == allOf && !id.Scope.IsAll() {
		return fmt.Errorf("%w: this needs the scope of all tenants", tenancy.ErrForbidden)
	}
	if err := a.wired(row); err != nil {
		return err
	}
	if row.reach == oneOf {
		if c.tenant, err = a.tenantOf(c); err != nil {
			return err
		}
	}
	if row.stepUp && !id.FreshFor(row.permission) {
		return problem.New(problem.StepUp, fmt.Errorf("%w: credentials were shown at %v", tenancy.ErrForbidden, id.Session.AuthenticatedAt))
	}
	return nil
}

// wired reports a row whose part the application does not have.
func (a *Admin) wired(row *route) error {
	if row.part == "" || slices.Contains(a.parts(), row.part) {
		return nil
	}
	return problem.New(problem.NotConfigured, fmt.Errorf("%w: %s is not wired", tenancy.ErrNotFound, row.part))
}

// tenantOf returns the tenant in the path. One outside of the operator's scope is not found, as one that does not exist.
func (a *Admin) tenantOf(c *call) (*tenancy.Tenant, error) {
	id := c.r.PathValue("id")
	if err := tenancy.ID(id).Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	t, err := a.catalog.Find(c.r.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: id})
	if err != nil {
		return nil, err
	}
	if !c.id.Scope.Includes(t) {
		return nil, fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
	}
	return t, nil
}

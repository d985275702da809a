// Package middleware finds the tenant of a request, puts it into the context, and
// guards handlers: tenant pages need a tenant, the service's own pages must not have one.
//
//	mux.Handle("/notes", notes)
//	tenantOnly, err := middleware.Tenant(cat, resolve, nil)
//	http.ListenAndServe(addr, tenantOnly(mux))
//
// An application with pages of its own wraps everything in [Optional], handlers for
// tenants in [Require] and its own in [CentralOnly].
//
// Behind it, [Authenticate] finds the sender of the request, as the tenant in the context
// knows it: by API keys ([KeyAuthenticator]), by tokens (package token), or by an
// authenticator of the application. [RequireScope] and [Authorize] decide who may do what.
//
// One function turns errors into HTTP answers for every middleware: [Problem], unless
// [Options.Refuse] names another. The client and the log get different texts. Handlers get
// the server's own response writer, so flushing, hijacking and http.ResponseController work.
// Behind a path prefix they get a writer with the same abilities that rewrites redirects
// ([PathPrefix]).
//
// The span of the request's context, if it has one, gets the attributes
// tenancy.tenant.id and tenancy.tenant.slug. With [SpanProcessor] every span that is
// started in the tenant's context gets them.
package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/request"
	"github.com/artflow-studio/tenancy/internal/witness"
	"github.com/artflow-studio/tenancy/resolver"
)

// Options are the options of every middleware in this package.
type Options struct {
	// Refuse answers a request that a middleware refused because of err. It must not show the text of err.
	// Default: [Problem].
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one line for each refused request: at level error when the
	// service is at fault, at info when the client is, at debug when the request
	// names an unknown tenant. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
	// SecretPaths are paths whose continuation is a secret, such as "/reset-password": what follows them,
	// behind any prefix, is not logged. Add your own maintenance.GateOptions.BypassPath. Default: none beside
	// the default of that option, which is never logged.
	SecretPaths []string
}

// Tenant serves requests that name an active tenant. The handler finds the tenant with [tenancy.FromContext].
//
// It refuses a request that names no tenant, an unknown one or one that is not active, a request that is
// malformed or contradicts itself, and every request that names a tenant while the catalog does not answer. A
// request that names a tenant is never treated as one that names none.
//
// If a path resolver found the tenant, the handler sees the path without that prefix, as with
// [http.StripPrefix]. [PathPrefix] returns the prefix, and r.RequestURI still has the whole path.
//
// A nil finder or resolver is an error that wraps [tenancy.ErrInvalid].
func Tenant(find tenancy.Finder, resolve resolver.Resolver, opts *Options) (func(http.Handler) http.Handler, error) {
	return newTenant("middleware.Tenant", find, resolve, opts, tenantMode{})
}

// Optional is [Tenant] for applications with pages of their own: a request that names no tenant is served,
// without one. A request that names an unknown tenant is refused.
func Optional(find tenancy.Finder, resolve resolver.Resolver, opts *Options) (func(http.Handler) http.Handler, error) {
	return newTenant("middleware.Optional", find, resolve, opts, tenantMode{optional: true})
}

// tenantMode is how Tenant, Optional and Standard differ.
type tenantMode struct {
	optional bool        // a request that names no tenant passes
	identity bool        // the context has room for the principal
	ids      *requestIDs // gives requests their IDs without another copy; may be nil
}

func newTenant(op string, find tenancy.Finder, resolve resolver.Resolver, opts *Options, mode tenantMode) (func(http.Handler) http.Handler, error) {
	if find == nil || resolve == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want a finder and a resolver", tenancy.ErrInvalid))
	}
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			base := r.Context()
			if mode.ids != nil {
				base = mode.ids.context(w, r)
			}
			match, err := resolve.Resolve(r)
			if mode.optional && resolver.Unresolved(err) {
				request.Serve(context.WithValue(base, centralKey{}, true), next, w, r, nil)
				return
			}
			var t *tenancy.Tenant
			if err == nil {
				t, err = find.Find(base, match.Ref)
			}
			if err == nil {
				base = witness.Tenant(w, base, t)
				err = check(r, t, match)
			}
			if err != nil {
				refuse := func(w http.ResponseWriter, r *http.Request) { o.refuse(w, r, err) }
				request.Serve(base, http.HandlerFunc(refuse), w, r, nil)
				return
			}
			ctx, u := withTenant(base, r, t, match.Prefix, mode.identity)
			if u == nil {
				request.Serve(ctx, next, w, r, nil)
				return
			}
			behind, l := behindPrefix(w, match.Prefix, u)
			request.Serve(ctx, next, behind, r, u)
			l.locate()
		})
	}, nil
}

// check returns why a tenant that was found is not served.
func check(r *http.Request, t *tenancy.Tenant, match resolver.Match) error {
	switch {
	case t == nil:
		return tenancy.Wrap("middleware.Tenant", "", fmt.Errorf("the finder returned no tenant and no error for %v", match.Ref))
	case t.Status != tenancy.StatusActive:
		return tenancy.Wrap("middleware.Tenant", t.ID, &tenancy.StatusError{Status: t.Status, Tenant: t})
	case !strings.HasPrefix(r.URL.Path, match.Prefix):
		return tenancy.Wrap("middleware.Tenant", t.ID, fmt.Errorf("the resolver found the prefix %q, but the path does not begin with it", match.Prefix))
	}
	return nil
}

// withTenant returns the context and the URL as the handler sees them. The URL is nil if it is the request's
// own.
func withTenant(ctx context.Context, r *http.Request, t *tenancy.Tenant, prefix string, room bool) (context.Context, *url.URL) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(spanAttributes(t)...)
	}
	ctx = tenancy.NewContext(ctx, t)
	if room {
		ctx = &identity{Context: ctx}
	}
	if prefix == "" {
		return ctx, nil
	}
	u := new(url.URL)
	*u = *r.URL
	u.Path, u.RawPath = strip(u.Path, prefix), strip(u.RawPath, prefix)
	return context.WithValue(ctx, prefixKey{}, prefix), u
}

// strip takes the prefix off a path or off its encoding. It returns "" for an encoding that does not begin with
// the prefix.
func strip(path, prefix string) string {
	rest, ok := strings.CutPrefix(path, prefix)
	if ok && rest == "" {
		return "/"
	}
	if !ok {
		return ""
	}
	return rest
}

type (
	prefixKey  struct{}
	centralKey struct{}
)

// PathPrefix returns the part of the path that named the tenant and was taken off, such as "/t/acme", or "".
// Begin the links that you write with it.
//
// Redirects do not need it: the middleware puts the prefix in front of a Location or Content-Location that is a
// path or relative. A Location that begins with the prefix, or has a scheme or a host, stays as it is; use one
// of these to lead out of the tenant.
func PathPrefix(ctx context.Context) string {
	prefix, _ := ctx.Value(prefixKey{}).(string)
	return prefix
}

func (o *Options) complete() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Refuse == nil {
		c.Refuse = Problem
	}
	c.Logger = logs.Or(c.Logger)
	c.SecretPaths = slices.Clone(c.SecretPaths)
	return c
}

// Refuse logs err and answers the request as the middlewares of this package do. Call it for errors of your own
// handlers. Nil options are the defaults.
func Refuse(w http.ResponseWriter, r *http.Request, err error, opts *Options) {
	o := opts.complete()
	o.refuse(w, r, err)
}

func (o *Options) refuse(w http.ResponseWriter, r *http.Request, err error) {
	o.refuseAt(slog.LevelDebug, w, r, err)
}

// refuseAt is refuse with a level of the log of at least that, unless the client went away.
func (o *Options) refuseAt(least slog.Level, w http.ResponseWriter, r *http.Request, err error) {
	problem.Log(o.Logger, least, r, err, o.SecretPaths...)
	witness.Refused(w, err)
	o.Refuse(w, r, err)
}

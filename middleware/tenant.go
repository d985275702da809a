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
// Behind it, [Authenticate] finds out who is asking, for the tenant in the context alone:
// by API keys ([KeyAuthenticator]), by tokens (package token), or by an authenticator of the
// application. [RequireScope] and [Authorize] say who may do what.
//
// One function turns errors into HTTP answers for every middleware: [Problem], unless
// [Options.Refuse] names another. The client and the log get different texts. Handlers get
// the server's own response writer, so flushing, hijacking and http.ResponseController work.
// Behind a path prefix they get one that rewrites redirects ([PathPrefix]) and supports the same.
//
// The span of the request's context, if it has one, gets the attributes
// tenancy.tenant.id and tenancy.tenant.slug; with [SpanProcessor] every span
// that is started in the tenant's context does.
package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	// Refuse answers a request that a middleware refused because of err. It must
	// not show err's text. Default: [Problem].
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one line for each refused request: at level error when the
	// service is at fault, at info when the client is, at debug when the request
	// names an unknown tenant. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
	// SecretPaths are paths that are followed by secrets, such as "/reset-password": what
	// follows, behind any prefix, is not logged. A maintenance.GateOptions.BypassPath of
	// your own is one. Default: that option's default, which counts in any case.
	SecretPaths []string
}

// Tenant lets a request pass when it names an active tenant, which the handler
// finds with [tenancy.FromContext]. Otherwise the request is refused: when it
// names none, or an unknown one; when the tenant is not active, each status in
// its way; when the request is malformed or contradicts itself; and when the
// catalog does not answer. There is no case in which a request that names a
// tenant is treated as one that names none.
//
// What a path resolver found in the path is taken off for the handler, as
// [http.StripPrefix] does; [PathPrefix] tells what it was, and r.RequestURI
// still has all of it.
//
// A nil finder or resolver is an error that wraps [tenancy.ErrInvalid].
func Tenant(find tenancy.Finder, resolve resolver.Resolver, opts *Options) (func(http.Handler) http.Handler, error) {
	return newTenant("middleware.Tenant", find, resolve, opts, tenantMode{})
}

// Optional is [Tenant] for universal routes: a request that names no tenant
// passes, without one. One that names an unknown tenant does not.
func Optional(find tenancy.Finder, resolve resolver.Resolver, opts *Options) (func(http.Handler) http.Handler, error) {
	return newTenant("middleware.Optional", find, resolve, opts, tenantMode{optional: true})
}

// tenantMode is what Tenant, Optional and Standard differ in.
type tenantMode struct {
	optional bool        // a request that names no tenant passes
	identity bool        // there is room in the context for who is asking
	ids      *requestIDs // gives requests their IDs, without a copy of its own; may be nil
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

// check reports why a tenant that was found is not served.
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

// withTenant returns the context and the URL as the handler sees them; the URL is nil
// when it is the request's.
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

// strip takes a prefix off, which is the same in a path and in its encoding. It
// returns "" for an encoding that is not that of the path.
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

// PathPrefix returns the part of the path that named the tenant and was taken
// off, such as "/t/acme", or "". Links that a handler writes begin with it.
//
// Redirects need not: a Location or Content-Location that is a path, or relative, leads
// to the page that the handler sees under that path. One that begins with the prefix
// stays as it is, and so does one with a scheme or a host, which is how a handler leads
// out of the tenant.
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
	return c
}

// Refuse logs why a request goes no further, and answers it, as the middlewares
// of this package do. Handlers call it for errors of their own. Nil options are
// the defaults.
func Refuse(w http.ResponseWriter, r *http.Request, err error, opts *Options) {
	o := opts.complete()
	o.refuse(w, r, err)
}

func (o *Options) refuse(w http.ResponseWriter, r *http.Request, err error) {
	o.refuseAt(slog.LevelDebug, w, r, err)
}

// refuseAt is refuse with a log of that level at least, unless the client went away.
func (o *Options) refuseAt(least slog.Level, w http.ResponseWriter, r *http.Request, err error) {
	problem.Log(o.Logger, least, r, err, o.SecretPaths...)
	witness.Refused(w, err)
	o.Refuse(w, r, err)
}

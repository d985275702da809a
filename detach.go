package tenancy

import "context"

// Detach returns a context for work that outlives the request: it carries the
// tenant and every other value of ctx, such as the span and what the application put
// there, but ends when life ends and not when ctx does. life is a context of
// the program's, which ends at shutdown or, through [context.WithTimeout],
// before. What it carries counts where ctx carries nothing, except the tenant, the
// actor and the request, which are always those of ctx.
//
//	ctx := tenancy.Detach(r.Context(), life)
//	work.Go(func() { sendReceipt(ctx, order) })
//
// The caller sees to it that the work ends before the program does. Work that
// must be done even if the program ends belongs in an [Envelope].
//
// The tenant's record is the one that ctx had. Work that takes long, and must
// know whether the tenant is still served, asks the catalog again. Values that
// are only good for the time of the request, such as a transaction, come along
// as well: do not use them.
func Detach(ctx, life context.Context) context.Context {
	if ctx == nil || life == nil {
		panic("tenancy: Detach with a nil context")
	}
	return detached{life, context.WithoutCancel(ctx)}
}

// detached has its end from one context and its values from another.
type detached struct {
	context.Context
	values context.Context // never ends
}

// Value returns the value for the key. Keys by which package context finds the
// nearest context that can be cancelled are unknown to values.
func (d detached) Value(key any) any {
	if v := d.values.Value(key); v != nil {
		return v
	}
	switch key {
	case contextKey{}, actorKey{}, requestKey{}:
		return nil
	}
	return d.Context.Value(key)
}

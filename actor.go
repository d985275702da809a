package tenancy

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// ActorKind says what kind of actor makes a change.
type ActorKind string

// The kinds of actors.
const (
	// ActorUnknown is the kind of an actor that nobody named.
	ActorUnknown ActorKind = "unknown"
	// ActorOperator is a person who runs the service.
	ActorOperator ActorKind = "operator"
	// ActorToken is a program with a token of its own.
	ActorToken ActorKind = "token"
	// ActorCommandLine is somebody at the service's command line.
	ActorCommandLine ActorKind = "command_line"
	// ActorSystem is the service itself: a schedule, a job, a start.
	ActorSystem ActorKind = "system"
	// ActorTenantUser is a user of a tenant.
	ActorTenantUser ActorKind = "tenant_user"
)

// ActorKinds returns all kinds of actors.
func ActorKinds() []ActorKind {
	return []ActorKind{ActorUnknown, ActorOperator, ActorToken, ActorCommandLine, ActorSystem, ActorTenantUser}
}

// Longest texts of an actor, in bytes.
const (
	maxActorID   = 200
	maxUserAgent = 256
	maxRequestID = 128
	maxReason    = 1024
)

// Actor is the person or program that makes a change. It stands in the audit as it is, so it must
// hold no secret.
type Actor struct {
	Kind ActorKind `json:"kind"`
	// ID is the application's name for the actor: of an operator, of a token, of a
	// user. Up to 200 bytes.
	ID string `json:"id,omitempty"`
	// Address is where the actor's request came from.
	Address netip.Addr `json:"address,omitzero"`
	// UserAgent is what the actor's program says of itself. Up to 256 bytes.
	UserAgent string `json:"user_agent,omitempty"`
	// RequestID is the request in which the change was made. Up to 128 bytes.
	RequestID string `json:"request_id,omitempty"`
	// Reason is why, in the actor's words. Up to 1,024 bytes.
	Reason string `json:"reason,omitempty"`
	// Queued marks an actor that was read from an [Envelope]: it is only as true
	// as the queue.
	Queued bool `json:"queued,omitempty"`
}

type actorKey struct{}

// WithActor returns a context in which the actor makes the changes. Entries of
// the audit name it.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor of the context. Its kind is [ActorUnknown] when
// there is none. An empty address, user agent or request ID is that of the
// context's request, if [RequestFrom] has one.
func ActorFrom(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	a.Kind = cmp.Or(a.Kind, ActorUnknown)
	if r, ok := RequestFrom(ctx); ok {
		a.Address = cmp.Or(a.Address, r.Address)
		a.UserAgent = cmp.Or(a.UserAgent, r.UserAgent)
		a.RequestID = cmp.Or(a.RequestID, r.ID)
	}
	return a
}

// String returns the actor for logs: its kind and ID.
func (a Actor) String() string {
	kind := string(cmp.Or(a.Kind, ActorUnknown))
	if a.ID == "" {
		return kind
	}
	return kind + ":" + a.ID
}

// Validate reports a malformed actor with an error that wraps [ErrInvalid]: one
// of an unknown kind, or with a text that is too long, not UTF-8, or has unprintable
// characters.
func (a Actor) Validate() error {
	if !slices.Contains(ActorKinds(), a.Kind) {
		return fmt.Errorf("%w: actor of kind %.40q", ErrInvalid, string(a.Kind))
	}
	for _, text := range []struct {
		what, value string
		most        int
	}{
		{"ID of the actor", a.ID, maxActorID}, {"user agent", a.UserAgent, maxUserAgent},
		{"request ID", a.RequestID, maxRequestID}, {"reason", a.Reason, maxReason},
	} {
		if text.value != plainText(text.value, text.most) {
			return fmt.Errorf("%w: %s: want printable UTF-8, of at most %d bytes", ErrInvalid, text.what, text.most)
		}
	}
	if zone := a.Address.Zone(); zone != plainText(zone, maxZone) {
		return fmt.Errorf("%w: zone of the actor's address: want printable UTF-8, of at most %d bytes", ErrInvalid, maxZone)
	}
	return nil
}

// maxZone is the length of the longest zone of an address that is kept.
const maxZone = 32

// plain returns the actor as an entry can hold it: what clients send must not
// keep a change from being made.
func (a Actor) plain() Actor {
	if !slices.Contains(ActorKinds(), a.Kind) {
		a.Kind = ActorUnknown
	}
	a.ID = plainText(a.ID, maxActorID)
	a.UserAgent = plainText(a.UserAgent, maxUserAgent)
	a.RequestID = plainText(a.RequestID, maxRequestID)
	a.Reason = plainText(a.Reason, maxReason)
	if zone := a.Address.Zone(); zone != plainText(zone, maxZone) {
		a.Address = a.Address.WithZone("")
	}
	return a
}

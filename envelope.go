package tenancy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Envelope is a job for one tenant that waits in a queue: [SealJob] makes it where
// the tenant is known, [OpenJob] makes the tenant's context of it where the job is
// done. It holds the tenant's ID and nothing else of the record: a tenant that
// was renamed or moved meanwhile is found, and one that was suspended is not served.
//
// As JSON an Envelope is an object with these fields, in any order, and no
// others; it may itself be a field of a queue's own arguments.
//
//	{
//	  "tenant":    "acme",                  ID of the tenant
//	  "sealed_at": "2006-01-02T15:04:05Z",  RFC 3339
//	  "trace":     {"traceparent": "00-…"}, may be missing
//	  "actor":     {"kind": "operator", …}, may be missing: an [Actor]
//	  "payload":   …                        whatever T is in JSON
//	}
//
// Missing, unknown and repeated fields, names in another case, and malformed
// values are errors that wrap [ErrInvalid], so that nobody who reads an
// envelope takes it for another tenant's than OpenJob does. When encoded it has at
// most 1 MiB; four times that is read, for queues that write JSON anew with
// spaces and escapes of their own.
//
// An Envelope is not signed. Anybody who can write to the queue can write for any tenant.
type Envelope[T any] struct {
	Tenant ID `json:"tenant"`
	// SealedAt is when [SealJob] was called, in UTC, to the microsecond.
	SealedAt time.Time `json:"sealed_at"`
	// Trace is for the application's tracing, which writes and reads it: OpenTelemetry's
	// propagators do through propagation.MapCarrier. SealJob leaves it empty.
	Trace map[string]string `json:"trace,omitempty"`
	// Actor is who asked for the job, or nil. Only [SealJobWithActor] sets it. Whoever
	// can write to the queue can name anybody.
	Actor   *Actor `json:"actor,omitempty"`
	Payload T      `json:"payload"`
}

// Longest envelopes, in bytes of JSON.
const (
	maxSealed = 1 << 20
	maxOpened = 4 * maxSealed
)

// SealJob returns an envelope for the context's tenant. Without a tenant the error
// wraps [ErrNoTenant]. Whether the payload can be written shows when the
// envelope is encoded; an error then is one that wraps [ErrInvalid].
func SealJob[T any](ctx context.Context, payload T) (*Envelope[T], error) {
	const op = "tenancy.SealJob"
	t, err := Require(ctx)
	if err != nil {
		return nil, Wrap(op, "", err)
	}
	if err := t.ID.Validate(); err != nil {
		return nil, Wrap(op, "", err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &Envelope[T]{Tenant: t.ID, SealedAt: now, Trace: map[string]string{}, Payload: payload}, nil
}

// SealJobWithActor is [SealJob] for an envelope that names the actor of the context, if
// there is one: in the job's context [ActorFrom] returns it, marked as queued. A
// reader that does not know the field refuses the envelope: deploy the readers first.
func SealJobWithActor[T any](ctx context.Context, payload T) (*Envelope[T], error) {
	e, err := SealJob(ctx, payload)
	if err != nil {
		return nil, err
	}
	if a := ActorFrom(ctx).plain(); a.Kind != ActorUnknown {
		e.Actor = &a
	}
	return e, nil
}

// OpenJob decodes an envelope and returns the context in which its job is done,
// which carries the tenant as the finder knows it now, and the actor of the
// envelope if it names one. The finder is asked once
// at each call; an answer from a cache is as old as the cache allows.
//
// With an error there is no context, nothing of the job was done, and the job
// must be kept. Where the job's tenant is known, the error is an [Error] that
// says which. What to do depends on what it wraps:
//
//   - [ErrUnavailable]; [context.Canceled] and [context.DeadlineExceeded],
//     which are passed on as they are: try again soon.
//   - [ErrNotActive], as a [StatusError]: try again later, without counting it
//     as an attempt; the tenant may be active again tomorrow. One that is
//     archived is for a person.
//   - [ErrNotFound]: put it aside for a person. The tenant was deleted, or the
//     job is from another environment.
//   - [ErrInvalid]: put it aside. It is no envelope, or its payload is no T.
//   - [ErrForbidden]: ctx carries another tenant than the job's. The job is
//     good; the worker passes on the context of the job before.
//   - any other: what the finder failed with. Try again.
//
// Errors of the job itself are the application's own and come after. Work on tenants
// that are not served, such as the export of an archived one, is not for
// envelopes: look the record up and use [NewContext].
func OpenJob[T any](ctx context.Context, find Finder, data []byte) (context.Context, *Envelope[T], error) {
	e := new(Envelope[T])
	if err := e.UnmarshalJSON(data); err != nil {
		return nil, nil, Wrap("tenancy.OpenJob", "", err)
	}
	ctx, err := e.restore(ctx, find)
	if err != nil {
		return nil, nil, refused("tenancy.OpenJob", e.Tenant, err)
	}
	return ctx, e, nil
}

// Restore is [OpenJob] for an envelope that the queue has decoded already.
func (e *Envelope[T]) Restore(ctx context.Context, find Finder) (context.Context, error) {
	ctx, err := e.restore(ctx, find)
	if err != nil {
		return nil, refused("tenancy.Envelope.Restore", e.Tenant, err)
	}
	return ctx, nil
}

func (e *Envelope[T]) restore(ctx context.Context, find Finder) (context.Context, error) {
	ref, err := NewRef(RefID, string(e.Tenant))
	if err != nil {
		return nil, err
	}
	if other, ok := FromContext(ctx); ok && other.ID != e.Tenant {
		return nil, fmt.Errorf("%w: the context carries tenant %s", ErrForbidden, other.ID)
	}
	t, err := find.Find(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, errors.New("the finder returned no tenant and no error")
	case t.ID != e.Tenant:
		return nil, fmt.Errorf("the finder returned tenant %s", t.ID)
	case t.Status != StatusActive:
		return nil, &StatusError{Status: t.Status, Tenant: t}
	}
	if e.Actor != nil {
		a := *e.Actor
		a.Queued = true
		ctx = WithActor(ctx, a)
	}
	return NewContext(ctx, t), nil
}

// refused is [Wrap] with the ID of the tenant, which a finder that found no tenant does not name. The caller
// that keeps the job needs the ID.
func refused(op string, id ID, err error) error {
	var finders *Error
	if errors.As(err, &finders) && finders.Tenant == "" {
		return &Error{Op: op, Tenant: id, Err: err}
	}
	return Wrap(op, id, err)
}

// MarshalJSON returns the envelope in the form that [Envelope] describes.
func (e Envelope[T]) MarshalJSON() ([]byte, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	type plain Envelope[T] // without this method
	data, err := json.Marshal(plain(e))
	if err != nil {
		return nil, fmt.Errorf("%w: envelope: %w", ErrInvalid, err)
	}
	if len(data) > maxSealed {
		return nil, fmt.Errorf("%w: envelope of %d bytes, want at most %d", ErrInvalid, len(data), maxSealed)
	}
	return data, nil
}

// UnmarshalJSON reads the form that [Envelope] describes. After an error the
// envelope is as it was.
func (e *Envelope[T]) UnmarshalJSON(data []byte) error {
	if len(data) > maxOpened {
		return fmt.Errorf("%w: envelope of %d bytes, want at most %d", ErrInvalid, len(data), maxOpened)
	}
	values, err := fields(data)
	if err != nil {
		return fmt.Errorf("%w: envelope: %s", ErrInvalid, err.Error())
	}
	var read Envelope[T]
	var actor strictActor
	for _, field := range []struct {
		name     string
		into     any
		optional bool
	}{
		{"tenant", &read.Tenant, false},
		{"sealed_at", &read.SealedAt, false},
		{"trace", &read.Trace, true},
		{"actor", &actor, true},
		{"payload", &read.Payload, false},
	} {
		value, ok := values[field.name]
		if !ok && !field.optional {
			return fmt.Errorf("%w: envelope without %s", ErrInvalid, field.name)
		}
		if ok {
			if err := json.Unmarshal(value, field.into); err != nil {
				return fmt.Errorf("%w: envelope: %s: %.200s", ErrInvalid, field.name, err.Error())
			}
		}
		delete(values, field.name)
	}
	for name := range values {
		return fmt.Errorf("%w: envelope with the field %.64q", ErrInvalid, name)
	}
	read.Actor = actor.Actor
	if err := read.validate(); err != nil {
		return err
	}
	if read.Trace == nil {
		read.Trace = map[string]string{}
	}
	*e = read
	return nil
}

// validate reports what no sealed envelope has.
func (e *Envelope[T]) validate() error {
	if e.SealedAt.IsZero() {
		return fmt.Errorf("%w: envelope that was never sealed", ErrInvalid)
	}
	if e.Actor != nil {
		if err := e.Actor.Validate(); err != nil {
			return err
		}
	}
	return e.Tenant.Validate()
}

// strictActor is an actor whose JSON must not have unknown or repeated fields.
type strictActor struct{ *Actor }

// UnmarshalJSON reads the actor.
func (a *strictActor) UnmarshalJSON(data []byte) error {
	values, err := fields(data)
	if err != nil {
		return err
	}
	for name := range values {
		if !slices.Contains([]string{"kind", "id", "address", "user_agent", "request_id", "reason", "queued"}, name) {
			return fmt.Errorf("the field %.64q", name)
		}
	}
	a.Actor = new(Actor)
	return json.Unmarshal(data, a.Actor)
}

// fields returns the fields of a JSON object. A field that is there twice is an error: encoding/json would take
// the last one, and accept names in any case.
func fields(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if start != json.Delim('{') {
		return nil, errors.New("no object")
	}
	values := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		key, _ := name.(string) // what else would stand before a colon
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("the field %.64q twice", key)
		}
		values[key] = value
	}
	if _, err := dec.Token(); err != nil { // the end of the object
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one object")
	}
	return values, nil
}

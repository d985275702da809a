package catalog

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/internal/logs"
)

// KeyIssuer issues and revokes the API keys of tenants. Keys are part of the tenant's record,
// so a change of them is seen as soon as any other change of the record. Its
// methods may be called by many goroutines and processes at once.
//
// The text of a key is PREFIX_TENANT_ID_SECRET: the prefix, the tenant's ID, the
// key's own of 10 characters, and 43 random ones (256 bits) with a checksum of 6.
// It matches, for those who look for keys that leaked,
//
//	PREFIX_[a-z0-9][a-z0-9_-]{0,35}_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}
//
// and the checksum is the CRC-32 (IEEE) of what stands before it, to base 62 with
// the digits 0-9A-Za-z. Only the SHA-256 of the text is kept.
//
// Keys that have expired are removed when a key of the tenant is changed next.
type KeyIssuer struct {
	catalog *Catalog
	prefix  string
	uses    *uses // nil: the store does not keep them
	log     *slog.Logger
}

// KeyIssuerOptions are the options of [NewKeyIssuer].
type KeyIssuerOptions struct {
	// Every is how often [KeyIssuer.Run] writes which keys were used. Default: 5 seconds.
	Every time.Duration
	// Logger records failures of [KeyIssuer.Run]. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

// APIKeySpec describes a new API key.
type APIKeySpec struct {
	// Name is for people.
	Name string
	// Scopes are names of the application of up to 64 bytes, for middleware.RequireScope.
	Scopes []string
	// Allow are the addresses that the key may be used from, masked, IPv4 addresses in IPv4 form. Default: all.
	Allow []netip.Prefix
	// TTL is how long the key is valid. Default: until it is revoked.
	TTL time.Duration
}

// APIKeyInfo is an API key without its hash.
type APIKeyInfo struct {
	tenancy.APIKey
	// UsedAt is when the key was last used, to within some seconds; the zero time if never, or if that is not
	// known.
	UsedAt time.Time `json:"used_at,omitzero"`
}

// NewKeyIssuer returns the issuer of API keys for the catalog's tenants. All its keys begin with the prefix,
// such as "acme_live": 1 to 32 lower-case letters, digits and inner underscores, the first a letter. Any other
// prefix is an error that wraps [tenancy.ErrInvalid]. If you use several prefixes, none may be another one with
// an underscore behind it.
func NewKeyIssuer(c *Catalog, prefix string, opts *KeyIssuerOptions) (*KeyIssuer, error) {
	const op = "catalog.NewKeyIssuer"
	if c == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no catalog", tenancy.ErrInvalid))
	}
	if err := credential.CheckPrefix(prefix); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var o KeyIssuerOptions
	if opts != nil {
		o = *opts
	}
	if err := o.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	k := &KeyIssuer{catalog: c, prefix: prefix, log: o.Logger}
	if store, ok := c.store.(UseStore); ok {
		k.uses = newUses(store, o.Every)
	}
	return k, nil
}

func (o *KeyIssuerOptions) complete() error {
	o.Every = cmp.Or(o.Every, 5*time.Second)
	if o.Every < 0 {
		return fmt.Errorf("%w: Every %v", tenancy.ErrInvalid, o.Every)
	}
	o.Logger = logs.Or(o.Logger)
	return nil
}

// Issue makes a key of the tenant. It returns the text of the key, which is not kept, and its record. A
// [tenancy.Secret] prints as "[redacted]"; its method Reveal returns the text, to be shown once. A malformed
// spec, and a tenant that has 256 keys already, are errors that wrap [tenancy.ErrInvalid].
func (k *KeyIssuer) Issue(ctx context.Context, id tenancy.ID, spec APIKeySpec) (tenancy.Secret, APIKeyInfo, error) {
	var made credential.Key
	do := &doing{op: "catalog.KeyIssuer.Issue", action: "key.issue"}
	t, err := k.edit(ctx, do, id, func(t *tenancy.Tenant, at time.Time) error {
		if err := spec.check(); err != nil {
			return err
		}
		made = k.add(t, spec.key(at))
		do.object = made.ID
		return nil
	})
	return secretOf(made, err), infoOf(t, made.ID), err
}

// Rotate makes a new key like the old one, with the same lifetime counted from now, and makes the old key
// expire after the given time, which may be zero. Until then both are valid. A key that does not exist or has
// expired is an error that wraps [tenancy.ErrNotFound]; a key that was rotated before is one that wraps
// [tenancy.ErrConflict].
func (k *KeyIssuer) Rotate(ctx context.Context, id tenancy.ID, key string, after time.Duration) (tenancy.Secret, APIKeyInfo, error) {
	var made credential.Key
	do := &doing{op: "catalog.KeyIssuer.Rotate", action: "key.rotate", object: keyObject(key)}
	t, err := k.edit(ctx, do, id, func(t *tenancy.Tenant, at time.Time) error {
		if after < 0 {
			return fmt.Errorf("%w: an old key that is valid for %v", tenancy.ErrInvalid, after)
		}
		old := t.Access.Key(key)
		if old == nil {
			return errNoKey(key)
		}
		if old.ReplacedBy != "" {
			return fmt.Errorf("%w: key %s was replaced by %s", tenancy.ErrConflict, old.ID, old.ReplacedBy)
		}
		next := *old
		next.CreatedAt = at
		if !old.ExpiresAt.IsZero() {
			next.ExpiresAt = at.Add(old.ExpiresAt.Sub(old.CreatedAt))
		}
		if end := at.Add(after); old.ExpiresAt.IsZero() || end.Before(old.ExpiresAt) {
			old.ExpiresAt = end
		}
		made = k.add(t, next)
		t.Access.Key(key).ReplacedBy = made.ID // where it is now
		return nil
	})
	return secretOf(made, err), infoOf(t, made.ID), err
}

// Revoke makes a key invalid. A key that does not exist is an error that wraps [tenancy.ErrNotFound].
func (k *KeyIssuer) Revoke(ctx context.Context, id tenancy.ID, key string) error {
	do := &doing{op: "catalog.KeyIssuer.Revoke", action: "key.revoke", object: keyObject(key)}
	_, err := k.edit(ctx, do, id, func(t *tenancy.Tenant, _ time.Time) error {
		if t.Access.Key(key) == nil {
			return errNoKey(key)
		}
		t.Access.Keys = slices.DeleteFunc(t.Access.Keys, func(each tenancy.APIKey) bool { return each.ID == key })
		return nil
	})
	return err
}

// RevokeAll makes all keys of the tenant invalid.
func (k *KeyIssuer) RevokeAll(ctx context.Context, id tenancy.ID) error {
	do := &doing{op: "catalog.KeyIssuer.RevokeAll", action: "key.revoke_all"}
	_, err := k.edit(ctx, do, id, func(t *tenancy.Tenant, _ time.Time) error {
		t.Access.Keys = nil
		return nil
	})
	return err
}

// List returns the keys of the tenant that have not expired, oldest first.
func (k *KeyIssuer) List(ctx context.Context, id tenancy.ID) ([]APIKeyInfo, error) {
	const op = "catalog.KeyIssuer.List"
	t, err := k.catalog.byID(ctx, id)
	if err != nil {
		return nil, wrap(op, id, err)
	}
	var usedAt map[string]time.Time
	if k.uses != nil {
		if usedAt, err = k.uses.read(ctx, id); err != nil {
			return nil, wrap(op, id, err)
		}
	}
	removeExpired(t, now())
	out := make([]APIKeyInfo, 0, len(t.Access.Keys))
	for _, each := range t.Access.Keys {
		info := infoOf(t, each.ID)
		info.UsedAt = usedAt[each.ID]
		out = append(out, info)
	}
	slices.SortStableFunc(out, func(a, b APIKeyInfo) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// edit changes the keys that have not expired.
func (k *KeyIssuer) edit(ctx context.Context, do *doing, id tenancy.ID, change func(t *tenancy.Tenant, at time.Time) error) (*tenancy.Tenant, error) {
	var before []string
	t, err := k.catalog.editOr(ctx, do, id, func(t *tenancy.Tenant) error {
		before = nil
		for _, key := range t.Access.Keys {
			before = append(before, key.ID)
		}
		at := now()
		removeExpired(t, at)
		return change(t, at)
	})
	if err == nil {
		k.forget(ctx, t, slices.DeleteFunc(before, func(key string) bool { return t.Access.Key(key) != nil }))
	}
	return t, err
}

func removeExpired(t *tenancy.Tenant, at time.Time) {
	t.Access.Keys = slices.DeleteFunc(t.Access.Keys, func(key tenancy.APIKey) bool {
		return !key.ExpiresAt.IsZero() && !at.Before(key.ExpiresAt)
	})
}

// add adds a key with a new text, and an ID that none of the tenant's has.
func (k *KeyIssuer) add(t *tenancy.Tenant, key tenancy.APIKey) credential.Key {
	made := credential.NewKey(k.prefix, t.ID)
	for t.Access.Key(made.ID) != nil {
		made = credential.NewKey(k.prefix, t.ID)
	}
	key.ID, key.Hash = made.ID, tenancy.DigestOf(made.Text)
	insertKey(t, key)
	return made
}

// insertKey adds a key that is complete, in its place.
func insertKey(t *tenancy.Tenant, key tenancy.APIKey) {
	at, _ := slices.BinarySearchFunc(t.Access.Keys, key.ID, func(k tenancy.APIKey, id string) int { return strings.Compare(k.ID, id) })
	t.Access.Keys = slices.Insert(t.Access.Keys, at, key)
}

// infoOf returns what may be shown of a key; nothing if there is no tenant.
func infoOf(t *tenancy.Tenant, key string) APIKeyInfo {
	if t == nil {
		return APIKeyInfo{}
	}
	info := APIKeyInfo{APIKey: *t.Access.Key(key)}
	info.Hash = tenancy.Digest{}
	info.Scopes, info.Allow = slices.Clone(info.Scopes), slices.Clone(info.Allow)
	return info
}

func secretOf(key credential.Key, err error) tenancy.Secret {
	if err != nil {
		return tenancy.Secret{}
	}
	return tenancy.NewSecret(key.Text)
}

// keyObject returns the ID of a key for an entry, which shows no more of it than an
// ID has: it may be a key's text.
func keyObject(id string) string {
	const length = 10
	if len(id) != length || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return ""
	}
	return id
}

// errNoKey shows no more than an ID has: it may be a key's text.
func errNoKey(id string) error { return fmt.Errorf("%w: API key %.10q", tenancy.ErrNotFound, id) }

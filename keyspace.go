package tenancy

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// Keyspace makes the keys under which an application keeps what belongs to its tenants
// in a store that they share: entries of a cache, locks, queues, counters. Its
// value is the name with which all its keys begin: 1 to 64 ASCII letters,
// digits, dots, hyphens and underscores.
//
//	const users tenancy.Keyspace = "shop.users"
//
//	key, err := users.Key(ctx, "profile", "7") // shop.users:{acme}:profile:7
//
// Nothing here makes a key without a tenant, and the tenant is always that of
// the context. Two keys are the same only if keyspace, tenant and all parts
// are, whatever the parts hold.
//
// A key is printable ASCII without spaces, as Redis and Memcached take it. A
// store that does not know upper from lower case, such as MySQL's named locks,
// may take two keys of one tenant for the same, but never those of two tenants.
// A byte of a part takes up to three. Where a store has a limit on the length,
// hash a part and never the key, so that the tenant stays in front.
//
// The braces are what Redis Cluster calls a hash tag: all keys of a tenant are
// on one node, so that one command or script may have several of them.
// Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
type Keyspace string

// maxKeyspace is the length of the longest name of a Keyspace.
const maxKeyspace = 64

// Key returns the key for the context's tenant and the parts. There must be at least one part, which keeps keys
// apart from [Keyspace.Prefix]. In a part, everything but ASCII letters, digits and "-_.~" is encoded as in a
// URL's query. Without a tenant the error is [ErrNoTenant]. A malformed name of the keyspace or ID of the
// tenant is an error that wraps [ErrInvalid].
func (k Keyspace) Key(ctx context.Context, part string, parts ...string) (string, error) {
	key, err := k.Prefix(ctx)
	if err != nil {
		return "", err
	}
	key += url.QueryEscape(part)
	for _, p := range parts {
		key += ":" + url.QueryEscape(p)
	}
	return key, nil
}

// Prefix returns what all keys of the context's tenant in this keyspace begin
// with, and no other key does: for counting or deleting them. It has no
// character that means something in a pattern of Redis, so that
// "SCAN 0 MATCH prefix*" finds these keys alone. In SQL's LIKE an underscore
// does mean something. The errors are those of [Keyspace.Key].
func (k Keyspace) Prefix(ctx context.Context) (string, error) {
	t, err := Require(ctx)
	if err == nil {
		err = k.validate()
	}
	if err == nil {
		err = t.ID.Validate()
	}
	if err != nil {
		return "", err
	}
	return string(k) + ":{" + string(t.ID) + "}:", nil
}

// Split returns the tenant and the parts of a key that [Keyspace.Key] made. Any
// other key, one of another keyspace among them, is an error that wraps
// [ErrInvalid] and does not show the key.
func (k Keyspace) Split(key string) (tenant ID, parts []string, err error) {
	if err := k.validate(); err != nil {
		return "", nil, err
	}
	invalid := fmt.Errorf("%w: no key of the keyspace %q", ErrInvalid, string(k))
	rest, ok := strings.CutPrefix(key, string(k)+":{")
	if !ok {
		return "", nil, invalid
	}
	id, rest, ok := strings.Cut(rest, "}:")
	if !ok || ID(id).Validate() != nil {
		return "", nil, invalid
	}
	for escaped := range strings.SplitSeq(rest, ":") {
		part, err := url.QueryUnescape(escaped)
		if err != nil || url.QueryEscape(part) != escaped {
			return "", nil, invalid
		}
		parts = append(parts, part)
	}
	return ID(id), parts, nil
}

func (k Keyspace) validate() error {
	if len(k) == 0 || len(k) > maxKeyspace {
		return fmt.Errorf("%w: keyspace of %d bytes, want 1 to %d", ErrInvalid, len(k), maxKeyspace)
	}
	for i := range len(k) {
		c := k[i]
		if !lowerAlnum(c) && (c < 'A' || c > 'Z') && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("%w: keyspace %q, want letters, digits, dots, hyphens and underscores", ErrInvalid, string(k))
		}
	}
	return nil
}

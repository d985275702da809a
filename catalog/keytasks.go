package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

// RevokeTask returns the task that revokes API keys of tenants, for runs over many of them. Its
// parameters say which, and at least one is there:
//
//   - name: the keys of that name
//   - before: those that were made before that day, such as 2026-01-31, or that time of RFC 3339
//   - all: "yes", alone, is all keys
//
// A tenant without such a key is skipped.
func (k *KeyIssuer) RevokeTask() tenancy.Task {
	return tenancy.Task{
		Eligible: keyHolder,
		Validate: func(p tenancy.Params) error {
			_, err := doomed(p)
			return err
		},
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			revoke, err := doomed(a.Params)
			if err != nil {
				return err
			}
			do := &doing{op: "catalog.KeyIssuer.RevokeTask", action: "key.revoke_all"}
			found := false
			_, err = k.edit(ctx, do, t.ID, func(t *tenancy.Tenant, _ time.Time) error {
				n := len(t.Access.Keys)
				t.Access.Keys = slices.DeleteFunc(t.Access.Keys, revoke)
				found = len(t.Access.Keys) < n
				return nil
			})
			if err == nil && !found {
				return tenancy.Skip("the tenant has no such API key")
			}
			return err
		},
	}
}

// doomed returns which keys the parameters of [KeyIssuer.RevokeTask] mean.
func doomed(p tenancy.Params) (func(tenancy.APIKey) bool, error) {
	if err := onlyParams(p, "name", "before", "all"); err != nil {
		return nil, err
	}
	_, all := p["all"]
	name, named := p["name"]
	day, dated := p["before"]
	if all && (p["all"] != "yes" || named || dated) || !all && !named && !dated {
		return nil, fmt.Errorf("%w: want name, before or both, or all=yes alone", tenancy.ErrInvalid)
	}
	var before time.Time
	if dated {
		var err error
		if before, err = time.Parse(time.DateOnly, day); err != nil {
			if before, err = time.Parse(time.RFC3339, day); err != nil {
				return nil, fmt.Errorf("%w: before %.40q, want a day such as 2026-01-31, or 2026-01-31T23:59:59Z", tenancy.ErrInvalid, day)
			}
		}
	}
	return func(key tenancy.APIKey) bool {
		return (!named || key.Name == name) && (!dated || key.CreatedAt.Before(before))
	}, nil
}

// IssueTask returns the task that issues an API key to each of many tenants. Its parameters
// are name, by which a tenant that has the key already is known and skipped, and where wanted scopes,
// with commas between them, and ttl, such as 720h.
//
// A key can be told only once, and a run keeps no secrets, so deliver gets each one: it writes
// it into a vault or sends it to the tenant. It is called before the key is valid, and an error of
// it is the tenant's failure: then there is no key. After a crash it may be called
// again for a tenant, with another key, and the one delivered last is valid.
//
// To rotate the keys of many tenants, issue new ones under another name, and when everybody
// uses them revoke the old ones with [KeyIssuer.RevokeTask].
func (k *KeyIssuer) IssueTask(deliver func(ctx context.Context, t *tenancy.Tenant, key tenancy.Secret, info APIKeyInfo) error) tenancy.Task {
	return tenancy.Task{
		Eligible: keyHolder,
		Validate: func(p tenancy.Params) error {
			_, err := specOf(p)
			return err
		},
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			spec, err := specOf(a.Params)
			if err != nil {
				return err
			}
			return k.issueTo(ctx, t, spec, deliver)
		},
	}
}

// issueTo delivers a key and then makes it valid.
func (k *KeyIssuer) issueTo(ctx context.Context, t *tenancy.Tenant, spec APIKeySpec, deliver func(context.Context, *tenancy.Tenant, tenancy.Secret, APIKeyInfo) error) error {
	has := func(t *tenancy.Tenant, at time.Time) bool {
		return slices.ContainsFunc(t.Access.Keys, func(key tenancy.APIKey) bool {
			return key.Name == spec.Name && (key.ExpiresAt.IsZero() || at.Before(key.ExpiresAt))
		})
	}
	there := tenancy.Skip("the tenant has an API key of that name")
	fresh, err := k.catalog.byID(ctx, t.ID) // the run's may be older
	if err != nil {
		return wrap("catalog.KeyIssuer.IssueTask", t.ID, err)
	}
	at := now()
	if has(fresh, at) {
		return there
	}
	key := spec.key(at)
	made := k.add(fresh.Clone(), key)
	key.ID, key.Hash = made.ID, tenancy.DigestOf(made.Text)
	shown := key
	shown.Hash = tenancy.Digest{}
	if err := deliver(ctx, fresh, tenancy.NewSecret(made.Text), APIKeyInfo{APIKey: shown}); err != nil {
		return fmt.Errorf("the key could not be delivered, and is not valid: %w", err)
	}
	do := &doing{op: "catalog.KeyIssuer.IssueTask", action: "key.issue", object: made.ID}
	_, err = k.edit(ctx, do, t.ID, func(t *tenancy.Tenant, at time.Time) error {
		if has(t, at) {
			return there
		}
		insertKey(t, key)
		return nil
	})
	var skip *tenancy.SkipError
	if errors.As(err, &skip) {
		return skip
	}
	return err
}

// specOf reads the parameters of [KeyIssuer.IssueTask].
func specOf(p tenancy.Params) (spec APIKeySpec, err error) {
	if err := onlyParams(p, "name", "scopes", "ttl"); err != nil {
		return spec, err
	}
	spec.Name = p["name"]
	if spec.Name == "" {
		return spec, fmt.Errorf("%w: want the key's name, by which a tenant that has it is known", tenancy.ErrInvalid)
	}
	for scope := range strings.SplitSeq(p["scopes"], ",") {
		if scope = strings.TrimSpace(scope); scope != "" {
			spec.Scopes = append(spec.Scopes, scope)
		}
	}
	if ttl, ok := p["ttl"]; ok {
		if spec.TTL, err = time.ParseDuration(ttl); err != nil || spec.TTL <= 0 {
			return spec, fmt.Errorf("%w: ttl %.40q, want a time such as 720h", tenancy.ErrInvalid, ttl)
		}
	}
	if err := spec.check(); err != nil {
		return spec, err
	}
	probe := &tenancy.Tenant{ID: "probe", Slug: "probe", Status: tenancy.StatusActive}
	key := spec.key(now())
	key.ID, key.Hash = "probe", tenancy.DigestOf("probe")
	probe.Access.Keys = []tenancy.APIKey{key}
	return spec, probe.Validate()
}

// check reports what is wrong with the spec beside its name.
func (s *APIKeySpec) check() error {
	if s.TTL < 0 {
		return fmt.Errorf("%w: TTL %v", tenancy.ErrInvalid, s.TTL)
	}
	for _, scope := range s.Scopes {
		if !credential.IsScope(scope) {
			return fmt.Errorf("%w: scope %.80q", tenancy.ErrInvalid, scope)
		}
	}
	return nil
}

// key returns the key that the spec describes, without ID and hash.
func (s *APIKeySpec) key(at time.Time) tenancy.APIKey {
	key := tenancy.APIKey{Name: s.Name, Scopes: s.Scopes, Allow: s.Allow, CreatedAt: at}
	if s.TTL > 0 {
		key.ExpiresAt = at.Add(s.TTL)
	}
	return key
}

// keyHolder refuses tenants whose keys nobody can use.
func keyHolder(t *tenancy.Tenant) error {
	if t.Status.Removable() {
		return fmt.Errorf("the tenant is %s", t.Status)
	}
	return nil
}

// onlyParams refuses parameters of other names.
func onlyParams(p tenancy.Params, names ...string) error {
	for name := range p {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: parameter %.40q, want %q", tenancy.ErrInvalid, name, names)
		}
	}
	return nil
}

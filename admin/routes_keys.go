package admin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog"
)

// keyRoutes are the rows about API keys. The text of a key is kept with the answer to an Idempotency-Key, encrypted: see sealed.
func (a *Admin) keyRoutes() []route {
	return []route{
		{method: "GET", pattern: "tenants/{id}/keys", permission: auth.TenantsKeys, reach: oneOf, part: partKeys, handle: a.listKeys},
		{method: "POST", pattern: "tenants/{id}/keys", permission: auth.TenantsKeys, reach: oneOf, stepUp: true, body: true, idempotent: true, action: "key.issue", part: partKeys, handle: a.issueKey},
		{method: "DELETE", pattern: "tenants/{id}/keys", permission: auth.TenantsKeys, reach: oneOf, stepUp: true, action: "key.revoke_all", part: partKeys, handle: a.revokeKeys},
		{method: "POST", pattern: "tenants/{id}/keys/{key}/rotate", permission: auth.TenantsKeys, reach: oneOf, stepUp: true, body: true, idempotent: true, action: "key.rotate", part: partKeys, handle: a.rotateKey},
		{method: "DELETE", pattern: "tenants/{id}/keys/{key}", permission: auth.TenantsKeys, reach: oneOf, stepUp: true, action: "key.revoke", part: partKeys, handle: a.revokeKey},
	}
}

// apiKey is an API key as the API shows it. Its hash has no field.
type apiKey struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Scopes     []string       `json:"scopes"`
	Allow      []netip.Prefix `json:"allow"`
	CreatedAt  time.Time      `json:"created_at"`
	ExpiresAt  time.Time      `json:"expires_at,omitzero"`
	UsedAt     time.Time      `json:"used_at,omitzero"`
	ReplacedBy string         `json:"replaced_by,omitempty"`
}

func keyOf(k *catalog.APIKeyInfo) apiKey {
	return apiKey{
		ID: k.ID, Name: k.Name, Scopes: append([]string{}, k.Scopes...), Allow: append([]netip.Prefix{}, k.Allow...),
		CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, UsedAt: k.UsedAt, ReplacedBy: k.ReplacedBy,
	}
}

func (a *Admin) listKeys(c *call) error {
	found, err := a.opts.Keys.List(c.ctx(), c.tenant.ID)
	if err != nil {
		return err
	}
	out := make([]apiKey, len(found))
	for i := range found {
		out[i] = keyOf(&found[i])
	}
	return c.reply(http.StatusOK, map[string]any{"keys": out})
}

func (a *Admin) issueKey(c *call) error {
	var in struct {
		Name   string         `json:"name"`
		Scopes []string       `json:"scopes"`
		Allow  []netip.Prefix `json:"allow"`
		TTL    int64          `json:"ttl"` // seconds; 0: until it is revoked
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	ttl, err := seconds("ttl", in.TTL)
	if err != nil {
		return err
	}
	text, info, err := a.opts.Keys.Issue(c.ctx(), c.tenant.ID, catalog.APIKeySpec{Name: in.Name, Scopes: in.Scopes, Allow: in.Allow, TTL: ttl})
	return c.replyKey(text, &info, validation(err))
}

// replyKey answers with a key's text, which nobody is shown again.
func (c *call) replyKey(text tenancy.Secret, info *catalog.APIKeyInfo, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, map[string]any{"text": text.Reveal(), "key": keyOf(info)})
}

func (a *Admin) rotateKey(c *call) error {
	var in struct {
		After int64 `json:"after"` // seconds for which the old key stays valid
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	after, err := seconds("after", in.After)
	if err != nil {
		return err
	}
	text, info, err := a.opts.Keys.Rotate(c.ctx(), c.tenant.ID, c.r.PathValue("key"), after)
	return c.replyKey(text, &info, validation(err))
}

func (a *Admin) revokeKey(c *call) error {
	if err := a.opts.Keys.Revoke(c.ctx(), c.tenant.ID, c.r.PathValue("key")); err != nil {
		return err
	}
	return c.noContent()
}

func (a *Admin) revokeKeys(c *call) error {
	if err := a.opts.Keys.RevokeAll(c.ctx(), c.tenant.ID); err != nil {
		return err
	}
	return c.noContent()
}

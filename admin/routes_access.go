package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// accessRoutes are the rows about what stands between requests and a tenant, and about its settings.
func (a *Admin) accessRoutes() []route {
	return []route{
		{method: "GET", pattern: "tenants/{id}/settings", permission: auth.TenantsRead, reach: oneOf, handle: func(c *call) error { return c.replySettings(c.tenant) }},
		{method: "PATCH", pattern: "tenants/{id}/settings", permission: auth.TenantsWrite, reach: oneOf, body: true, match: true, action: "tenant.settings", handle: a.changeSettings},
		{method: "GET", pattern: "tenants/{id}/addresses", permission: auth.TenantsRead, reach: oneOf, handle: func(c *call) error { return c.replyAddresses(c.tenant) }},
		{method: "PUT", pattern: "tenants/{id}/addresses", permission: auth.TenantsWrite, reach: oneOf, body: true, match: true, action: "tenant.addresses", handle: a.changeAddresses},
		{method: "GET", pattern: "tenants/{id}/homepage", permission: auth.TenantsRead, reach: oneOf, handle: func(c *call) error { return c.replyHomepage(c.tenant) }},
		{method: "PUT", pattern: "tenants/{id}/homepage", permission: auth.TenantsWrite, reach: oneOf, body: true, match: true, action: "tenant.settings", handle: a.changeHomepage},
		{method: "POST", pattern: "tenants/{id}/tokens/revoke", permission: auth.TenantsKeys, reach: oneOf, stepUp: true, idempotent: true, action: "tenant.tokens", handle: a.revokeTokens},
	}
}

// homepageSetting is the setting by which middleware.Homepage goes.
const homepageSetting = "homepage"

// settingShown is a setting. The value of one that may be a secret has no field.
type settingShown struct {
	Name   string  `json:"name"`
	Value  *string `json:"value,omitempty"`
	Hidden bool    `json:"hidden"`
}

// showsSetting reports whether the application says that values of the setting are no secrets.
func (a *Admin) showsSetting(name string) bool {
	return name == homepageSetting || slices.Contains(a.opts.ShownSettings, name)
}

func (c *call) replySettings(t *tenancy.Tenant) error {
	out := []settingShown{}
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		s := settingShown{Name: name, Hidden: !c.admin.showsSetting(name)}
		if value := t.Settings[name]; !s.Hidden {
			s.Value = &value
		}
		out = append(out, s)
	}
	c.setTag(tenantTag(t))
	return c.reply(http.StatusOK, map[string]any{"settings": out, "version": t.Version, "etag": tenantTag(t)})
}

// changeSettings sets settings, and removes those that are null.
func (a *Admin) changeSettings(c *call) error {
	var in struct {
		Settings map[string]*string `json:"settings"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Settings) == 0 {
		return invalidField("settings", "Send at least one setting.")
	}
	return a.editTenant(c, func(t *tenancy.Tenant) error {
		for name, value := range in.Settings {
			setSetting(t, name, value)
		}
		return nil
	}, c.replySettings)
}

// setSetting sets a setting of a record that the caller may change, or removes it.
func setSetting(t *tenancy.Tenant, name string, value *string) {
	if value == nil {
		delete(t.Settings, name)
		return
	}
	if t.Settings == nil {
		t.Settings = map[string]string{}
	}
	t.Settings[name] = *value
}

func (c *call) replyAddresses(t *tenancy.Tenant) error {
	c.setTag(tenantTag(t))
	return c.reply(http.StatusOK, map[string]any{
		"allow": append([]netip.Prefix{}, t.Access.Allow...), "deny": append([]netip.Prefix{}, t.Access.Deny...), "version": t.Version, "etag": tenantTag(t),
	})
}

func (a *Admin) changeAddresses(c *call) error {
	var in struct {
		Allow []string `json:"allow"`
		Deny  []string `json:"deny"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	allow, err := prefixes("allow", in.Allow)
	if err != nil {
		return err
	}
	deny, err := prefixes("deny", in.Deny)
	if err != nil {
		return err
	}
	return a.editTenant(c, func(t *tenancy.Tenant) error { t.Access.Allow, t.Access.Deny = allow, deny; return nil }, c.replyAddresses)
}

// prefixes reads addresses and prefixes of them, as people write them.
func prefixes(field string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var wrong []problem.Field
	for i, text := range texts {
		p, err := auth.ParsePrefix(text)
		if err != nil {
			wrong = append(wrong, problem.Field{Pointer: fmt.Sprintf("/%s/%d", field, i), Code: "malformed", Text: "Want an address such as 192.0.2.7, or a prefix such as 192.0.2.0/24."})
			continue
		}
		out = append(out, p)
	}
	if wrong != nil {
		return nil, problem.New(problem.Validation, fmt.Errorf("%w: %s", tenancy.ErrInvalid, field), wrong...)
	}
	return out, nil
}

func (c *call) replyHomepage(t *tenancy.Tenant) error {
	setting := t.Settings[homepageSetting]
	c.setTag(tenantTag(t))
	return c.reply(http.StatusOK, map[string]any{"on": setting == "" || setting == "on", "version": t.Version, "etag": tenantTag(t)})
}

func (a *Admin) changeHomepage(c *call) error {
	var in struct {
		On *bool `json:"on"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.On == nil {
		return invalidField("on", "Want true or false.")
	}
	var to *string
	if off := "off"; !*in.On {
		to = &off
	}
	return a.editTenant(c, func(t *tenancy.Tenant) error { setSetting(t, homepageSetting, to); return nil }, c.replyHomepage)
}

// revokeTokens ends the tokens of the tenant's users, as token.Tokens.RevokeAll does.
func (a *Admin) revokeTokens(c *call) error {
	t, err := a.editNow(c, func(t *tenancy.Tenant) error {
		t.Access.RevokeTokens()
		return nil
	})
	if err != nil {
		return err
	}
	return c.replyTenant(http.StatusOK, t)
}

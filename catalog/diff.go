package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/artflow-studio/tenancy"
)

const (
	// maxChanges is how many fields entries show; one more says how many are left out.
	maxChanges = 999
	redacted   = `"[redacted]"`
)

// diff returns the fields that differ between two records, either of which may be
// nil, as entries of the audit show them.
func (c *Catalog) diff(before, after *tenancy.Tenant) []tenancy.FieldChange {
	old, now := fieldsOf(before), fieldsOf(after)
	names := slices.Collect(maps.Keys(old))
	for name := range now {
		if _, ok := old[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []tenancy.FieldChange
	for _, name := range names {
		if old[name].value != now[name].value {
			secret := c.secrets[name]
			out = append(out, tenancy.FieldChange{Field: name, Before: old[name].show(secret), After: now[name].show(secret)})
		}
	}
	if more := len(out) - maxChanges; more > 0 {
		out = append(out[:maxChanges], tenancy.FieldChange{Field: "~more", After: json.RawMessage(strconv.Itoa(more))})
	}
	return out
}

// field is a field of a record.
type field struct {
	value string          // as JSON; empty: there is none
	shown json.RawMessage // what entries show of it
}

// show returns what may be seen of the value.
func (f field) show(secret bool) json.RawMessage {
	if secret && f.value != "" {
		return json.RawMessage(redacted)
	}
	return f.shown
}

// fieldsOf returns the fields of a record by name, without those that are empty.
// What the catalog itself counts and dates is not among them.
func fieldsOf(t *tenancy.Tenant) map[string]field {
	out := map[string]field{}
	if t == nil {
		return out
	}
	put := func(name string, value any) { out[name] = field{text(value), tenancy.AuditValue(value)} }
	for name, value := range map[string]string{
		"slug": t.Slug, "name": t.Name, "status": string(t.Status), "plan": t.Plan,
		"placement.server": t.Placement.Server, "placement.database": t.Placement.Database,
	} {
		if value != "" {
			put(name, value)
		}
	}
	if len(t.Domains) > 0 {
		put("domains", t.Domains)
	}
	if len(t.Tags) > 0 {
		put("tags", t.Tags)
	}
	if t.SchemaVersion != 0 {
		put("schema_version", t.SchemaVersion)
	}
	for name, value := range t.Limits {
		put("limits."+name, value)
	}
	for name, value := range t.Settings {
		put("settings."+name, value)
	}
	putAccess(out, put, &t.Access)
	return out
}

func putAccess(out map[string]field, put func(string, any), g *tenancy.Access) {
	for _, key := range g.Keys {
		whole := text(key)
		key.Hash = tenancy.Digest{}
		out["keys."+key.ID] = field{whole, tenancy.AuditValue(key)}
	}
	if g.TokenGeneration != 0 {
		put("tokens.generation", g.TokenGeneration)
	}
	for _, token := range g.RevokedTokens {
		put("tokens.revoked."+printable(token.ID), token.ExpiresAt)
	}
	if len(g.Allow) > 0 {
		put("addresses.allow", g.Allow)
	}
	if len(g.Deny) > 0 {
		put("addresses.deny", g.Deny)
	}
	if g.Maintenance != nil {
		out["maintenance"] = field{text(g.Maintenance), g.Maintenance.AuditValue()}
	}
}

// printable returns the ID of a token, which may be any text, as the name of a
// field.
func printable(id string) string {
	if quoted := strconv.QuoteToASCII(id); quoted != `"`+id+`"` {
		return tenancy.DigestOf(id).String()
	}
	return id
}

// text returns a value as JSON. What a valid record holds can be encoded.
func text(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return `"unreadable"`
	}
	return string(b)
}

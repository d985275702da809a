package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/artflow-studio/tenancy"
)

const (
	// maxShown is the length of the longest value that entries show.
	maxShown = 4096
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

// field is a field of a record, as JSON.
type field struct {
	value string // empty: there is none
	shown string // the value without secrets, where it has some
}

// show returns what may be seen of the value.
func (f field) show(secret bool) json.RawMessage {
	s := f.value
	if f.shown != "" {
		s = f.shown
	}
	switch {
	case s == "":
		return nil
	case secret:
		return json.RawMessage(redacted)
	case len(s) > maxShown:
		sum := sha256.Sum256([]byte(s))
		return json.RawMessage(`{"bytes":` + strconv.Itoa(len(s)) + `,"sha256":"` + hex.EncodeToString(sum[:]) + `"}`)
	}
	return json.RawMessage(s)
}

// fieldsOf returns the fields of a record by name, without those that are empty.
// What the catalog itself counts and dates is not among them.
func fieldsOf(t *tenancy.Tenant) map[string]field {
	out := map[string]field{}
	if t == nil {
		return out
	}
	put := func(name string, value any) { out[name] = field{value: text(value)} }
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
	for name, value := range t.Limits {
		put("limits."+name, value)
	}
	for name, value := range t.Settings {
		put("settings."+name, value)
	}
	putGuards(out, put, &t.Guards)
	return out
}

func putGuards(out map[string]field, put func(string, any), g *tenancy.Guards) {
	for _, key := range g.Keys {
		f := field{value: text(key)}
		key.Hash = tenancy.Digest{}
		f.shown = text(key)
		out["keys."+key.ID] = f
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
		out["maintenance"] = field{value: text(g.Maintenance), shown: text(withoutSecrets(g.Maintenance))}
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

// withoutSecrets returns what may be seen of maintenance, for encoding as JSON.
func withoutSecrets(m *tenancy.Maintenance) any {
	shown := struct {
		tenancy.Maintenance
		Bypass     string `json:"bypass,omitempty"`     // in place of the secret's hash
		Generation string `json:"generation,omitempty"` // left out
	}{Maintenance: *m}
	if m.Bypass != (tenancy.Digest{}) {
		shown.Bypass = "[redacted]"
	}
	return shown
}

// text returns a value as JSON. What a valid record holds can be encoded.
func text(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return `"unreadable"`
	}
	return string(b)
}

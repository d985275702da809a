package tenancy_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

func validTenant() *tenancy.Tenant {
	return &tenancy.Tenant{
		ID: "t1", Slug: "acme", Name: "Acme & Söhne 株式会社", Domains: []string{"acme.example", "www.acme.example"},
		Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: "eu-1", Database: "t_acme"}, Plan: "Pro",
		Limits: map[string]int64{"seats": -1}, Tags: []string{"eu"}, Settings: map[string]string{"theme": "dark\nmode", "empty": ""},
		Access:        validAccess(),
		SchemaVersion: 12, Version: 1, CreatedAt: time.Unix(1, 0).UTC(), UpdatedAt: time.Unix(2, 0).UTC(),
	}
}

func TestTenantValidate(t *testing.T) {
	t.Parallel()
	type tenant = tenancy.Tenant
	a := func(n int) string { return strings.Repeat("a", n) }
	domains := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("d%d.example", i))
		}
		return out
	}
	limits := func(n int) map[string]int64 {
		return maps.Collect(func(yield func(string, int64) bool) {
			for i := 0; i < n && yield(fmt.Sprint(i), 1); i++ {
			}
		})
	}
	settings := func(n int) map[string]string {
		return maps.Collect(func(yield func(string, string) bool) {
			for i := 0; i < n && yield(fmt.Sprint(i), ""); i++ {
			}
		})
	}
	for _, tt := range []struct {
		name   string
		change func(*tenant)
		ok     bool
	}{
		{"full", func(*tenant) {}, true},
		{"least", func(t *tenant) { *t = tenant{ID: "t1", Slug: "acme", Status: tenancy.StatusProvisioning} }, true},
		{"zero", func(t *tenant) { *t = tenant{} }, false},
		{"no ID", func(t *tenant) { t.ID = "" }, false},
		{"ID", func(t *tenant) { t.ID = "../x" }, false},
		{"no slug", func(t *tenant) { t.Slug = "" }, false},
		{"slug", func(t *tenant) { t.Slug = "Acme" }, false},
		{"no status", func(t *tenant) { t.Status = "" }, false},
		{"status", func(t *tenant) { t.Status = "deleted" }, false},
		{"name at most", func(t *tenant) { t.Name = a(200) }, true},
		{"name too long", func(t *tenant) { t.Name = a(201) }, false},
		{"name over two lines", func(t *tenant) { t.Name = "a\nb" }, false},
		{"name with NUL", func(t *tenant) { t.Name = "a\x00" }, false},
		{"name with escape", func(t *tenant) { t.Name = "\x1b[31m" }, false},
		{"name with a space inside", func(t *tenant) { t.Name = "a b" }, true},
		{"name with a space in front", func(t *tenant) { t.Name = " a" }, false},
		{"name that is a space", func(t *tenant) { t.Name = " " }, false},
		{"name that turns around", func(t *tenant) { t.Name = "a\u202eb" }, false},
		{"name not UTF-8", func(t *tenant) { t.Name = "\xff" }, false},
		{"plan at most", func(t *tenant) { t.Plan = a(64) }, true},
		{"plan too long", func(t *tenant) { t.Plan = a(65) }, false},
		{"plan with a space behind", func(t *tenant) { t.Plan = "Pro " }, false},
		{"plan with NUL", func(t *tenant) { t.Plan = "\x00" }, false},
		{"no placement", func(t *tenant) { t.Placement = tenancy.Placement{} }, true},
		{"server at most", func(t *tenant) { t.Placement.Server = a(64) }, true},
		{"server too long", func(t *tenant) { t.Placement.Server = a(65) }, false},
		{"server over two lines", func(t *tenant) { t.Placement.Server = "eu\n1" }, false},
		{"database", func(t *tenant) { t.Placement.Database = `acme"; DROP DATABASE` }, false},
		{"database of the server", func(t *tenant) { t.Placement.Database = "postgres" }, false},
		{"domains at most", func(t *tenant) { t.Domains = domains(100) }, true},
		{"domains too many", func(t *tenant) { t.Domains = domains(101) }, false},
		{"domain", func(t *tenant) { t.Domains = []string{"acme.example", "../x"} }, false},
		{"domain empty", func(t *tenant) { t.Domains = []string{""} }, false},
		{"domain twice", func(t *tenant) { t.Domains = []string{"a.example", "b.example", "a.example"} }, false},
		{"tags", func(t *tenant) { t.Tags = []string{"a", "b"} }, true},
		{"tags not in order", func(t *tenant) { t.Tags = []string{"b", "a"} }, false},
		{"tag twice", func(t *tenant) { t.Tags = []string{"a", "a"} }, false},
		{"tag in upper case", func(t *tenant) { t.Tags = []string{"A"} }, false},
		{"tags too many", func(t *tenant) { t.Tags = manyTags() }, false},
		{"limits at most", func(t *tenant) { t.Limits = limits(256) }, true},
		{"limits too many", func(t *tenant) { t.Limits = limits(257) }, false},
		{"limit without name", func(t *tenant) { t.Limits = map[string]int64{"": 1} }, false},
		{"limit name at most", func(t *tenant) { t.Limits = map[string]int64{a(64): 1} }, true},
		{"limit name too long", func(t *tenant) { t.Limits = map[string]int64{a(65): 1} }, false},
		{"limit name with NUL", func(t *tenant) { t.Limits = map[string]int64{"a\x00": 1} }, false},
		{"limit name with a space behind", func(t *tenant) { t.Limits = map[string]int64{"seats\u2003": 1} }, false},
		{"settings at most", func(t *tenant) { t.Settings = settings(256) }, true},
		{"settings too many", func(t *tenant) { t.Settings = settings(257) }, false},
		{"setting without name", func(t *tenant) { t.Settings = map[string]string{"": "x"} }, false},
		{"setting name too long", func(t *tenant) { t.Settings = map[string]string{a(65): "x"} }, false},
		{"setting at most", func(t *tenant) { t.Settings = map[string]string{"k": a(4096)} }, true},
		{"setting too long", func(t *tenant) { t.Settings = map[string]string{"k": a(4097)} }, false},
		{"setting not UTF-8", func(t *tenant) { t.Settings = map[string]string{"k": "\xff"} }, false},
	} {
		tenant := validTenant()
		tt.change(tenant)
		if err := tenant.Validate(); (err == nil) != tt.ok || !tt.ok && !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ok %v or ErrInvalid", tt.name, err, tt.ok)
		}
	}
}

// manyTags are one more than a tenant may have, in order.
func manyTags() (tags []string) {
	for i := range 65 {
		tags = append(tags, fmt.Sprintf("t%02d", i))
	}
	return tags
}

// Of several mistakes it is always the same that is reported, so that an error can be searched for.
func TestTheFirstMistakeIsReported(t *testing.T) {
	t.Parallel()
	bad := map[string]int64{}
	settings := map[string]string{}
	for _, c := range "hgfedcba" {
		bad[string(c)+" "], settings[string(c)+" "] = 1, "x"
	}
	long := make([]string, 1001)
	for what, each := range map[string]struct {
		validate func() error
		want     string
	}{
		"limits":   {(&tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusActive, Limits: bad}).Validate, `"a "`},
		"settings": {(&tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusActive, Settings: settings}).Validate, `"a "`},
		"access": {(&tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusActive, Access: tenancy.Access{
			Keys: make([]tenancy.APIKey, 257), RevokedTokens: make([]tenancy.RevokedToken, 4097),
		}}).Validate, "257 keys"},
		"filter": {(&tenancy.Filter{Status: make([]tenancy.Status, 1001), Tags: long, Terms: make([]tenancy.Term, 1001)}).Validate, "1001 statuses"},
	} {
		for range 20 {
			if err := each.validate(); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), each.want) {
				t.Fatalf("%s: got %v, want one about %s", what, err, each.want)
			}
		}
	}
}

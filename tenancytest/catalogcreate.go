package tenancytest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func testCreate(t *testing.T, c *catalog.Catalog) {
	before := time.Now().Add(-time.Millisecond)
	got := create(t, c, full())
	want := full()
	want.Domains = []string{"acme.example", "www.acme.example"}
	want.Tags = []string{"eu", "pilot", "team:a-1"}
	want.Version, want.CreatedAt, want.UpdatedAt = 1, got.CreatedAt, got.CreatedAt
	if diff := diff(&want, got); diff != "" {
		t.Errorf("Create: -want +got\n%s", diff)
	}
	if diff := diff(&want, find(t, c, tenancy.RefID, "acme-1")); diff != "" {
		t.Errorf("Find: -want +got\n%s", diff)
	}
	if got.CreatedAt.Before(before) || got.CreatedAt.After(time.Now()) || got.CreatedAt.Location() != time.UTC {
		t.Errorf("got created at %v, want now, in UTC", got.CreatedAt)
	}

	small := create(t, c, tenancy.Tenant{Slug: "globex"})
	if small.ID.Validate() != nil || small.Name != "globex" || small.Status != tenancy.StatusProvisioning {
		t.Errorf("got %+v, want an ID, the slug as name and status provisioning", small)
	}
	if diff := diff(small, find(t, c, tenancy.RefSlug, "globex")); diff != "" {
		t.Errorf("Find: -want +got\n%s", diff)
	}
}

func testCreateRefuses(t *testing.T, c *catalog.Catalog) {
	create(t, c, full())
	for what, tt := range map[string]struct {
		in   tenancy.Tenant
		want error
	}{
		"no slug":              {tenancy.Tenant{}, tenancy.ErrInvalid},
		"path as slug":         {tenancy.Tenant{Slug: "../x"}, tenancy.ErrInvalid},
		"SQL as slug":          {tenancy.Tenant{Slug: `acme"; DROP DATABASE`}, tenancy.ErrInvalid},
		"reserved slug":        {tenancy.Tenant{Slug: "www"}, tenancy.ErrInvalid},
		"upper-case ID":        {tenancy.Tenant{ID: "X", Slug: "x"}, tenancy.ErrInvalid},
		"unknown status":       {tenancy.Tenant{Slug: "x", Status: "odd"}, tenancy.ErrInvalid},
		"domain with a path":   {tenancy.Tenant{Slug: "x", Domains: []string{"x.example/y"}}, tenancy.ErrInvalid},
		"space in a tag":       {tenancy.Tenant{Slug: "x", Tags: []string{"a b"}}, tenancy.ErrInvalid},
		"empty tag":            {tenancy.Tenant{Slug: "x", Tags: []string{""}}, tenancy.ErrInvalid},
		"long tag":             {tenancy.Tenant{Slug: "x", Tags: []string{strings.Repeat("x", 64)}}, tenancy.ErrInvalid},
		"address as domain":    {tenancy.Tenant{Slug: "x", Domains: []string{"192.0.2.1"}}, tenancy.ErrInvalid},
		"two spellings":        {tenancy.Tenant{Slug: "x", Domains: []string{"x.example", "X.example."}}, tenancy.ErrInvalid},
		"database name":        {tenancy.Tenant{Slug: "x", Placement: tenancy.Placement{Database: "a`b"}}, tenancy.ErrInvalid},
		"broken UTF-8":         {tenancy.Tenant{Slug: "x", Name: "\xff"}, tenancy.ErrInvalid},
		"NUL in the name":      {tenancy.Tenant{Slug: "x", Name: "a\x00b"}, tenancy.ErrInvalid},
		"long name":            {tenancy.Tenant{Slug: "x", Name: strings.Repeat("x", 201)}, tenancy.ErrInvalid},
		"taken ID":             {tenancy.Tenant{ID: "acme-1", Slug: "x"}, tenancy.ErrExists},
		"taken slug":           {tenancy.Tenant{ID: "x", Slug: "acme"}, tenancy.ErrExists},
		"taken domain":         {tenancy.Tenant{ID: "x", Slug: "x", Domains: []string{"new.example", "acme.example"}}, tenancy.ErrExists},
		"taken, in upper case": {tenancy.Tenant{ID: "x", Slug: "x", Domains: []string{"ACME.example."}}, tenancy.ErrExists},
	} {
		_, err := c.Create(t.Context(), &tt.in)
		wantErr(t, what, err, tt.want)
	}
	wantMissing(t, c, tenancy.RefID, "x")
	wantMissing(t, c, tenancy.RefSlug, "x")
	wantMissing(t, c, tenancy.RefDomain, "new.example")
}

func testCreateOnce(t *testing.T, c *catalog.Catalog) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := c.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Domains: []string{"acme.example"}})
			if err == nil {
				won.Add(1)
			} else {
				wantErr(t, "Create", err, tenancy.ErrExists)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d creations of one slug, want 1", won.Load())
	}
}

func testFind(t *testing.T, c *catalog.Catalog) {
	want := create(t, c, full())
	create(t, c, tenancy.Tenant{ID: "other", Slug: "other", Domains: []string{"other.example"}})
	for _, ref := range []tenancy.Ref{
		{Kind: tenancy.RefID, Value: "acme-1"}, {Kind: tenancy.RefSlug, Value: "acme"},
		{Kind: tenancy.RefDomain, Value: "acme.example"}, {Kind: tenancy.RefDomain, Value: "www.acme.example"},
	} {
		if diff := diff(want, find(t, c, ref.Kind, ref.Value)); diff != "" {
			t.Errorf("Find(%v): -want +got\n%s", ref, diff)
		}
	}
	for _, ref := range []tenancy.Ref{
		{}, {Kind: tenancy.RefID}, {Kind: tenancy.RefID, Value: "acme"}, {Kind: tenancy.RefSlug, Value: "acme-1"},
		{Kind: tenancy.RefSlug, Value: "ACME"}, {Kind: tenancy.RefSlug, Value: "acme "}, {Kind: tenancy.RefSlug, Value: "acmé"},
		{Kind: tenancy.RefSlug, Value: "acm_"}, {Kind: tenancy.RefSlug, Value: "' OR '1'='1"}, {Kind: tenancy.RefDomain, Value: "acme"},
		{Kind: tenancy.RefDomain, Value: "x.acme.example"}, {Kind: 99, Value: "acme"},
		{Kind: tenancy.RefSlug, Value: strings.Repeat("a", 10<<10)},
	} {
		_, err := c.Find(t.Context(), ref)
		wantErr(t, fmt.Sprintf("Find(%.40v)", ref), err, tenancy.ErrNotFound)
	}
}

package tenancytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func ids(page []*tenancy.Tenant) (ids []string) {
	for _, t := range page {
		ids = append(ids, string(t.ID))
	}
	return ids
}

func testList(t *testing.T, c *catalog.Catalog) {
	var want []string
	for i := range 25 {
		slug := fmt.Sprintf("t%02d", i)
		create(t, c, tenancy.Tenant{ID: tenancy.ID(slug), Slug: slug, Domains: []string{"b." + slug + ".example", "a." + slug + ".example"}})
		want = append(want, slug)
	}
	var got []string
	f := tenancy.Filter{Limit: 10}
	for {
		page, err := c.List(t.Context(), f)
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		for _, each := range page {
			if !slices.Equal(each.Domains, []string{"a." + each.Slug + ".example", "b." + each.Slug + ".example"}) {
				t.Errorf("got domains %q of %s", each.Domains, each.ID)
			}
		}
		got = append(got, ids(page)...)
		if len(page) < f.Limit {
			break
		}
		f.After = f.Next(page[len(page)-1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q in pages, want %q", got, want)
	}
	if page, err := c.List(t.Context(), tenancy.Filter{}); err != nil || len(page) != 25 {
		t.Errorf("List: got %d tenants, %v, want 25", len(page), err)
	}
	for _, f := range []tenancy.Filter{
		{Limit: -1}, {Limit: 1001}, {Status: []tenancy.Status{"odd"}}, {After: "é"}, {After: "\xff"}, {Text: "a\x00"}, {Plan: "\xff"},
		{Sort: "size"}, {Terms: []tenancy.Term{{Field: "requests", Op: tenancy.OpIs, Values: []string{"1"}}}},
		{Sort: tenancy.SortName, After: f.After}, // of another listing
	} {
		_, err := c.List(t.Context(), f)
		wantErr(t, fmt.Sprintf("List(%+v)", f), err, tenancy.ErrInvalid)
	}
}

func testListFilters(t *testing.T, c *catalog.Catalog) {
	a := create(t, c, tenancy.Tenant{ID: "a", Slug: "acme", Name: "Größe 100%", Plan: "gold", Status: tenancy.StatusActive, Tags: []string{"eu", "pilot"}, SchemaVersion: 11})
	wait(t, a.CreatedAt)
	b := create(t, c, tenancy.Tenant{ID: "b", Slug: "bolt", Name: "Under_score", Plan: "gold", Status: tenancy.StatusSuspended,
		Tags: []string{"us"}, Placement: tenancy.Placement{Server: "eu-1"}})
	wait(t, b.CreatedAt)
	create(t, c, tenancy.Tenant{ID: "c", Slug: "core", Name: `Back\slash!`, Domains: []string{"acme.example"}, Status: tenancy.StatusActive, Tags: []string{"pilot"}, SchemaVersion: 12})
	scope := func(s tenancy.Scope) *tenancy.Scope { return &s }
	for what, tt := range map[string]struct {
		f    tenancy.Filter
		want []string
	}{
		"all":               {tenancy.Filter{}, []string{"a", "b", "c"}},
		"status":            {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}}, []string{"a", "c"}},
		"two statuses":      {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive, tenancy.StatusSuspended}}, []string{"a", "b", "c"}},
		"plan":              {tenancy.Filter{Plan: "gold"}, []string{"a", "b"}},
		"plan in case":      {tenancy.Filter{Plan: "Gold"}, nil},
		"slug, domain":      {tenancy.Filter{Text: "ACME"}, []string{"a", "c"}},
		"name":              {tenancy.Filter{Text: "grÖSSe"}, nil},
		"name, folded":      {tenancy.Filter{Text: "GRÖßE"}, []string{"a"}},
		"per cent":          {tenancy.Filter{Text: "100%"}, []string{"a"}},
		"underscore":        {tenancy.Filter{Text: "r_s"}, nil},
		"two words":         {tenancy.Filter{Text: "und SCO"}, []string{"b"}},
		"backslash":         {tenancy.Filter{Text: `ba\s`}, []string{"c"}},
		"label of a domain": {tenancy.Filter{Text: "example"}, []string{"c"}},
		"inside of a word":  {tenancy.Filter{Text: "cme"}, nil},
		"from":              {tenancy.Filter{CreatedFrom: b.CreatedAt}, []string{"b", "c"}},
		"from, in between":  {tenancy.Filter{CreatedFrom: b.CreatedAt.Add(1)}, []string{"c"}},
		"before":            {tenancy.Filter{CreatedBefore: b.CreatedAt}, []string{"a"}},
		"between":           {tenancy.Filter{CreatedFrom: a.CreatedAt, CreatedBefore: b.CreatedAt.Add(1)}, []string{"a", "b"}},
		"all at once": {tenancy.Filter{Status: []tenancy.Status{tenancy.StatusActive}, Plan: "gold", Text: "acme",
			CreatedFrom: a.CreatedAt, CreatedBefore: b.CreatedAt}, []string{"a"}},
		"one tag":         {tenancy.Filter{Tags: []string{"pilot"}}, []string{"a", "c"}},
		"either tag":      {tenancy.Filter{Tags: []string{"eu", "us"}}, []string{"a", "b"}},
		"tag of nobody":   {tenancy.Filter{Tags: []string{"eu2"}}, nil},
		"IDs":             {tenancy.Filter{IDs: []tenancy.ID{"c", "a", "nobody"}}, []string{"a", "c"}},
		"server":          {tenancy.Filter{Server: "eu-1"}, []string{"b"}},
		"schema before":   {tenancy.Filter{SchemaBefore: 12}, []string{"a", "b"}},
		"schema from":     {tenancy.Filter{SchemaFrom: 11}, []string{"a", "c"}},
		"schema between":  {tenancy.Filter{SchemaFrom: 1, SchemaBefore: 12}, []string{"a"}},
		"scope of all":    {tenancy.Filter{Scope: scope(tenancy.AllTenants())}, []string{"a", "b", "c"}},
		"scope of nobody": {tenancy.Filter{Scope: scope(tenancy.Scope{})}, nil},
		"scope of a tag":  {tenancy.Filter{Scope: scope(tenancy.ByTags("pilot", "x"))}, []string{"a", "c"}},
		"scope of IDs":    {tenancy.Filter{Scope: scope(tenancy.ByIDs("b"))}, []string{"b"}},
		"scope and IDs":   {tenancy.Filter{Scope: scope(tenancy.ByIDs("b")), IDs: []tenancy.ID{"a"}}, nil},
		"scope and tags":  {tenancy.Filter{Scope: scope(tenancy.ByTags("pilot")), Tags: []string{"eu"}}, []string{"a"}},
	} {
		page, err := c.List(t.Context(), tt.f)
		if err != nil || !slices.Equal(ids(page), tt.want) {
			t.Errorf("%s: got %q, %v, want %q", what, ids(page), err, tt.want)
		}
	}
}

// testListWords finds tenants by how words of their slugs, names and domains begin, which
// follow each change.
func testListWords(t *testing.T, c *catalog.Catalog) {
	long := strings.Repeat("ẞ", 200/3) // 198 bytes without an end of a word
	many := strings.Repeat("a ", 99) + "zz"
	acme := create(t, c, tenancy.Tenant{ID: "acme", Slug: "acme-north", Name: "Müller & Söhne (ΟΔΟΣ) O’Neil", Domains: []string{"shop.acme.example", "xn--mller-kva.example"}})
	for id, name := range map[tenancy.ID]string{
		"emoji": "Go🚀Fast 👩\u200d🚀", "heart": "I \u2764\ufe0f it", "long": long, "many": many, "tokyo": "東京スカイツリー", "cents": "50% off_now C++",
	} {
		create(t, c, tenancy.Tenant{ID: id, Slug: "s-" + string(id), Name: name})
	}
	wantFound := func(when string, cases map[string]string) {
		t.Helper()
		for text, want := range cases {
			found, err := c.List(t.Context(), tenancy.Filter{Text: text})
			if got := strings.Join(ids(found), " "); err != nil || got != want {
				t.Errorf("%s: List of %q: got %q, %v, want %q", when, text, got, err, want)
			}
		}
	}
	wantFound("made", map[string]string{
		"acme": "acme", "ACME north": "acme", "acme-n": "acme", "nor": "acme", "orth": "", "north acme": "acme", "acme south": "",
		"MÜLL söh": "acme", "muller": "", "οδος": "acme", "οδοσ": "acme", "o'ne": "acme", "neil": "acme", "(ΟΔ": "acme",
		"shop.acme": "acme", "exa": "acme", "hop": "", "mller": "acme", "kva.exam": "acme",
		"🚀": "emoji", "go": "emoji", "fast🚀": "emoji", "👩": "emoji", "❤": "heart", "❤\ufe0f": "heart",
		strings.Repeat("ß", 60): "long", long: "long", "ss": "", "zz a": "many", "東": "tokyo", "京": "tokyo", "スカイ": "tokyo", "東スカ": "",
		"50": "cents", "50%": "cents", "now": "cents", "c++": "cents", "++": "cents", "s tok": "tokyo", "s": "acme cents emoji heart long many tokyo",
	})
	for _, text := range []string{"%", "-- _ .", "'", `\`, strings.Repeat("a b c d e f g h i j k l m n o p q ", 2)} {
		_, err := c.List(t.Context(), tenancy.Filter{Text: text})
		wantErr(t, fmt.Sprintf("List of %q", text), err, tenancy.ErrInvalid)
	}
	if _, err := c.Rename(t.Context(), "acme", "apex-north"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveDomain(t.Context(), "acme", "shop.acme.example"); err != nil {
		t.Fatal(err)
	}
	wantFound("changed", map[string]string{"acme": "", "shop": "", "apex": "acme", "north": "acme", "example": "acme", "müller": "acme"})
	if err := c.Delete(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	wantFound("deleted", map[string]string{"apex": "", "müller": "", "s": "cents emoji heart long many tokyo"})
}

// testListSorts lists in each order, in pages of each size.
func testListSorts(t *testing.T, c *catalog.Catalog) {
	var all []*tenancy.Tenant
	for i, name := range []string{"b", "Ä", "a", "a", "Z", "a"} {
		id := fmt.Sprintf("t%d", i)
		made := create(t, c, tenancy.Tenant{ID: tenancy.ID(id), Slug: fmt.Sprintf("s%d", 9-i), Name: name, Domains: []string{id + ".example", id + "b.example"}})
		if i%2 == 0 {
			wait(t, made.CreatedAt)
		}
		all = append(all, made)
	}
	changed, err := c.Rename(t.Context(), "t2", "s-renamed")
	if err != nil {
		t.Fatal(err)
	}
	all[2] = changed
	for _, field := range tenancy.Sorts() {
		for _, sort := range []tenancy.Sort{field, "-" + field} {
			_, descending := sort.Field()
			slices.SortFunc(all, func(a, b *tenancy.Tenant) int {
				order := strings.Compare(sort.Key(a), sort.Key(b))
				if order == 0 {
					order = strings.Compare(string(a.ID), string(b.ID))
				}
				if descending {
					return -order
				}
				return order
			})
			for _, size := range []int{1, 2, 4, 100} {
				var got []string
				f := tenancy.Filter{Sort: sort, Limit: size, Text: "S"}
				for {
					page, err := c.List(t.Context(), f)
					if err != nil {
						t.Fatalf("List by %s: %v", sort, err)
					}
					for _, each := range page {
						if len(each.Domains) != 2 {
							t.Errorf("by %s: got domains %q of %s", sort, each.Domains, each.ID)
						}
					}
					got = append(got, ids(page)...)
					if len(page) < size || len(got) > len(all) {
						break
					}
					f.After = f.Next(page[len(page)-1])
				}
				if want := ids(all); !slices.Equal(got, want) {
					t.Errorf("by %s in pages of %d: got %q, want %q", sort, size, got, want)
				}
			}
		}
	}
}

func testSelect(t *testing.T, c *catalog.Catalog) {
	for i := range 5 {
		id := fmt.Sprintf("t%d", i)
		create(t, c, tenancy.Tenant{ID: tenancy.ID(id), Slug: id, Tags: []string{fmt.Sprintf("tag%d", i%2)}})
	}
	for text, want := range map[string]string{
		"": "[t0 t1 t2 t3 t4] <nil>", "tag:tag1": "[t1 t3] <nil>", "sort:-id": "[t4 t3 t2 t1 t0] <nil>", "id:nobody": "[] <nil>",
	} {
		f, err := tenancy.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		got := []tenancy.ID{}
		var failed error
		for id, err := range c.Select(t.Context(), f) {
			if failed = err; err == nil {
				got = append(got, id)
			}
		}
		if got := fmt.Sprint(got, failed); got != want {
			t.Errorf("Select(%s): got %s, want %s", text, got, want)
		}
	}
	n := 0
	for _, err := range c.Select(t.Context(), tenancy.Filter{Limit: 3}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 3 {
		t.Errorf("Select of 3: got %d", n)
	}
	f, err := tenancy.ParseFilter("requests:>1", tenancy.Field{Name: "requests", Kind: tenancy.FieldNumber})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Select(t.Context(), f) {
		wantErr(t, "Select by a field that no catalog has", err, tenancy.ErrInvalid)
	}
}

// wait returns when the clock shows a later microsecond.
func wait(t *testing.T, than time.Time) {
	t.Helper()
	for !time.Now().UTC().Truncate(time.Microsecond).After(than) {
		if t.Context().Err() != nil {
			return
		}
	}
}

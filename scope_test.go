package tenancy_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestScope(t *testing.T) {
	t.Parallel()
	acme := &tenancy.Tenant{ID: "acme", Tags: []string{"eu", "pilot"}}
	bolt := &tenancy.Tenant{ID: "bolt"}
	for what, tt := range map[string]struct {
		scope            tenancy.Scope
		all, none        bool
		hasAcme, hasBolt bool
		text             string
		data             string
	}{
		"zero":       {tenancy.Scope{}, false, true, false, false, "no tenants", `{}`},
		"all":        {tenancy.AllTenants(), true, false, true, true, "all tenants", `{"all":true}`},
		"no tags":    {tenancy.ByTags(), false, true, false, false, "no tenants", `{}`},
		"no IDs":     {tenancy.ByIDs(), false, true, false, false, "no tenants", `{}`},
		"a tag":      {tenancy.ByTags("eu"), false, false, true, false, `tags ["eu"]`, `{"tags":["eu"]}`},
		"any tag":    {tenancy.ByTags("us", "pilot", "us"), false, false, true, false, `tags ["pilot" "us"]`, `{"tags":["pilot","us"]}`},
		"other tags": {tenancy.ByTags("us"), false, false, false, false, `tags ["us"]`, `{"tags":["us"]}`},
		"empty tag":  {tenancy.ByTags(""), false, false, false, false, `tags [""]`, ``},
		"IDs":        {tenancy.ByIDs("core", "bolt", "bolt"), false, false, false, true, `tenants ["bolt" "core"]`, `{"ids":["bolt","core"]}`},
		"empty ID":   {tenancy.ByIDs(""), false, false, false, false, `tenants [""]`, ``},
	} {
		if tt.scope.IsAll() != tt.all || tt.scope.IsZero() != tt.none || tt.scope.String() != tt.text {
			t.Errorf("%s: got all %v, zero %v, %s", what, tt.scope.IsAll(), tt.scope.IsZero(), tt.scope)
		}
		if tt.scope.Includes(acme) != tt.hasAcme || tt.scope.Includes(bolt) != tt.hasBolt || tt.scope.Includes(nil) {
			t.Errorf("%s: got acme %v, bolt %v, nil %v", what, tt.scope.Includes(acme), tt.scope.Includes(bolt), tt.scope.Includes(nil))
		}
		if tt.data == "" {
			continue
		}
		data, err := json.Marshal(tt.scope)
		if err != nil || string(data) != tt.data {
			t.Errorf("%s: got %s, %v, want %s", what, data, err, tt.data)
		}
		back := tenancy.AllTenants()
		if err := json.Unmarshal(data, &back); err != nil || back.IsAll() != tt.all || back.String() != tt.text {
			t.Errorf("%s: read back %v, %v", what, back, err)
		}
	}
}

func TestScopeOwnsItsValues(t *testing.T) {
	t.Parallel()
	tags, ids := []string{"eu"}, []tenancy.ID{"acme"}
	byTags, byIDs := tenancy.ByTags(tags...), tenancy.ByIDs(ids...)
	tags[0], ids[0] = "us", "bolt"
	byTags.Tags()[0], byIDs.IDs()[0] = "us", "bolt"
	if !slices.Equal(byTags.Tags(), []string{"eu"}) || !slices.Equal(byIDs.IDs(), []tenancy.ID{"acme"}) {
		t.Errorf("got %v and %v, want what they were made of", byTags, byIDs)
	}
}

// What cannot be read is an error, and not a wider scope.
func TestScopeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `true`, `"all"`, `[]`, `{"all":true,"tags":["eu"]}`, `{"tags":["eu"],"ids":["a"]}`, `{"tag":["eu"]}`,
		`{"tags":["EU"]}`, `{"tags":[""]}`, `{"ids":["A"]}`, `{"ids":[""]}`, `{"all":1}`,
	} {
		s := tenancy.ByTags("eu")
		if err := s.UnmarshalJSON([]byte(text)); !errors.Is(err, tenancy.ErrInvalid) || s.String() != `tags ["eu"]` {
			t.Errorf("%s: got %v, %v, want ErrInvalid and the scope before", text, s, err)
		}
	}
}

func TestValidateTag(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"a", "eu", "7", "team:a-1", "a_b.c"} {
		if err := tenancy.ValidateTag(tag); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for _, tag := range []string{"", "A", "a b", "-a", "a-", ":a", "ä", "a,b", "a\x00", string(make([]byte, 64))} {
		if err := tenancy.ValidateTag(tag); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", tag, err)
		}
	}
}

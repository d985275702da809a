package catalog_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestSQLConforms(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenancytest.TestCatalog(t, func(t *testing.T) *catalog.Catalog { return open(t, s) })
	})
}

// open returns a catalog in a database of its own.
func open(t *testing.T, s *tenancytest.Server) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(s.Database(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

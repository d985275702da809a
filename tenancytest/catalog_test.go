package tenancytest_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestCatalog(t, func(t *testing.T) *catalog.Catalog { return tenancytest.NewCatalog(t) })
}

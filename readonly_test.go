package tenancy_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestReadOnly(t *testing.T) {
	t.Parallel()
	if tenancy.IsReadOnly(t.Context()) || !tenancy.IsReadOnly(tenancy.WithReadOnly(t.Context())) {
		t.Error("want a context to be read-only that was made so, and no other")
	}
}

package rediskit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

func TestPrefix(t *testing.T) {
	t.Parallel()
	if got, err := rediskit.Prefix("cache", "Shop_1.eu-west"); got != "tenancy:cache:Shop_1.eu-west:" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, odd := range []string{"", "a:b", "a{b}", "a b", "a*", "ü", "a\n", strings.Repeat("a", 65)} {
		if got, err := rediskit.Prefix("cache", odd); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %q, %v, want ErrInvalid", odd, got, err)
		}
	}
}

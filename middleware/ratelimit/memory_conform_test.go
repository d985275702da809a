package ratelimit_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestMemoryConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestLimiter(t, func(*testing.T) ratelimit.Limiter { return ratelimit.NewMemory(nil) })
}

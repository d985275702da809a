package tenancy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestContext(t *testing.T) {
	t.Parallel()
	if got, ok := tenancy.FromContext(t.Context()); ok || got != nil {
		t.Errorf("FromContext(empty) = %v, %v, want nil, false", got, ok)
	}
	if got, err := tenancy.Require(t.Context()); got != nil || !errors.Is(err, tenancy.ErrNoTenant) {
		t.Errorf("Require(empty) = %v, %v, want nil, ErrNoTenant", got, err)
	}

	acme, umbrella := &tenancy.Tenant{ID: "acme"}, &tenancy.Tenant{ID: "umbrella"}
	outer := tenancy.NewContext(t.Context(), acme)
	derived, cancel := context.WithCancel(outer)
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want *tenancy.Tenant
	}{
		{"outer", outer, acme},
		{"derived and canceled", derived, acme},
		{"inner", tenancy.NewContext(outer, umbrella), umbrella},
	} {
		if got, ok := tenancy.FromContext(tt.ctx); !ok || got != tt.want {
			t.Errorf("%s: FromContext = %v, %v, want %v, true", tt.name, got, ok, tt.want)
		}
		if got, err := tenancy.Require(tt.ctx); err != nil || got != tt.want {
			t.Errorf("%s: Require = %v, %v, want %v, nil", tt.name, got, err, tt.want)
		}
	}
}

func TestNewContextPanicsWithoutTenant(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("NewContext(ctx, nil) returned, want a panic")
		}
	}()
	tenancy.NewContext(t.Context(), nil)
}

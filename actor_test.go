package tenancy_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestActorFrom(t *testing.T) {
	t.Parallel()
	address, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	request := tenancy.WithRequest(t.Context(), tenancy.RequestInfo{ID: "r1", Address: address, UserAgent: "curl"})
	ada := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "unpaid"}
	full := tenancy.Actor{Kind: tenancy.ActorToken, ID: "ci", Address: other, UserAgent: "ci", RequestID: "r2", Queued: true}
	for what, tt := range map[string]struct {
		ctx  context.Context
		want tenancy.Actor
	}{
		"nobody":              {t.Context(), tenancy.Actor{Kind: tenancy.ActorUnknown}},
		"nobody in a request": {request, tenancy.Actor{Kind: tenancy.ActorUnknown, Address: address, UserAgent: "curl", RequestID: "r1"}},
		"filled from the request": {tenancy.WithActor(request, ada), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "unpaid",
			Address: address, UserAgent: "curl", RequestID: "r1"}},
		"request after the actor": {tenancy.WithRequest(tenancy.WithActor(t.Context(), ada), tenancy.RequestInfo{ID: "r3"}),
			tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "unpaid", RequestID: "r3"}},
		"its own outweigh":   {tenancy.WithActor(request, full), full},
		"the inner actor":    {tenancy.WithActor(tenancy.WithActor(t.Context(), full), ada), ada},
		"without a kind":     {tenancy.WithActor(t.Context(), tenancy.Actor{ID: "x"}), tenancy.Actor{Kind: tenancy.ActorUnknown, ID: "x"}},
		"detached":           {tenancy.Detach(tenancy.WithActor(request, full), t.Context()), full},
		"not of the program": {tenancy.Detach(t.Context(), tenancy.WithActor(request, full)), tenancy.Actor{Kind: tenancy.ActorUnknown}},
	} {
		if got := tenancy.ActorFrom(tt.ctx); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", what, got, tt.want)
		}
	}
	if _, ok := tenancy.RequestFrom(t.Context()); ok {
		t.Error("a context without a request has one")
	}
	if got := ada.String() + " " + (tenancy.Actor{}).String(); got != "operator:ada unknown" {
		t.Errorf("got %q, want operator:ada unknown", got)
	}
}

func TestActorValidate(t *testing.T) {
	t.Parallel()
	for _, kind := range tenancy.ActorKinds() {
		if err := (tenancy.Actor{Kind: kind, ID: strings.Repeat("x", 200)}).Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for what, a := range map[string]tenancy.Actor{
		"no kind":           {},
		"unknown kind":      {Kind: "root"},
		"long ID":           {Kind: tenancy.ActorOperator, ID: strings.Repeat("x", 201)},
		"line break":        {Kind: tenancy.ActorOperator, Reason: "a\nb"},
		"no UTF-8":          {Kind: tenancy.ActorOperator, UserAgent: "\xff"},
		"long request ID":   {Kind: tenancy.ActorOperator, RequestID: strings.Repeat("x", 129)},
		"long zone":         {Kind: tenancy.ActorOperator, Address: netip.MustParseAddr("fe80::1").WithZone(strings.Repeat("x", 33))},
		"unprintable zone":  {Kind: tenancy.ActorOperator, Address: netip.MustParseAddr("fe80::1").WithZone("a\x00")},
		"separator of text": {Kind: tenancy.ActorOperator, ID: "a\u2028b"},
	} {
		if err := a.Validate(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
}

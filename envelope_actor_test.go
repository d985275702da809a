package tenancy_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The actor travels with a job if the writer says so, and is marked.
func TestEnvelopeActor(t *testing.T) {
	t.Parallel()
	acme := tenancytest.NewTenant("acme")
	cat := tenancytest.NewCatalog(t, acme)
	ada := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Address: netip.MustParseAddr("2001:db8::1"), RequestID: "r", Reason: "a \"b\""}
	ctx := tenancy.WithActor(tenancy.NewContext(t.Context(), acme), ada)
	worker := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorSystem, ID: "worker"})

	open := func(e *tenancy.Envelope[int]) tenancy.Actor {
		t.Helper()
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		job, _, err := tenancy.OpenJob[int](worker, cat, data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		return tenancy.ActorFrom(job)
	}
	with, err := tenancy.SealJobWithActor(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := ada
	want.Queued = true
	if got := open(with); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	without, err := tenancy.SealJob(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	if got := open(without); got.ID != "worker" || got.Queued {
		t.Errorf("without an actor: got %+v, want the worker's", got)
	}
	nobody, err := tenancy.SealJobWithActor(tenancy.NewContext(t.Context(), acme), 7)
	if err != nil || nobody.Actor != nil {
		t.Errorf("nobody: got %+v, %v, want no actor", nobody.Actor, err)
	}
	if _, err := tenancy.SealJobWithActor(t.Context(), 7); !errors.Is(err, tenancy.ErrNoTenant) {
		t.Errorf("no tenant: got %v, want ErrNoTenant", err)
	}
}

func TestEnvelopeRefusesActors(t *testing.T) {
	t.Parallel()
	for _, actor := range []string{
		`"ada"`, `{}`, `{"kind":"root"}`, `{"kind":"operator","kind":"system"}`, `{"kind":"operator","Kind":"system"}`, `{"KIND":"operator"}`,
		`{"kind":"operator","role":"x"}`, `{"kind":"operator","id":"a\nb"}`, `{"kind":"operator","address":"x"}`, `{"kind":"operator","id":"` + strings.Repeat("a", 201) + `"}`, `[]`,
	} {
		var e tenancy.Envelope[int]
		err := e.UnmarshalJSON([]byte(`{"tenant":"acme","sealed_at":"2026-01-02T03:04:05Z","payload":1,"actor":` + actor + `}`))
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", actor, err)
		}
	}
}

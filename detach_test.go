package tenancy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

type valueKey string

func TestDetachKeepsValues(t *testing.T) {
	t.Parallel()
	acme, umbrella := &tenancy.Tenant{ID: "acme"}, &tenancy.Tenant{ID: "umbrella"}
	life := context.WithValue(tenancy.NewContext(t.Context(), umbrella), valueKey("both"), "life")
	life = context.WithValue(life, valueKey("life"), "life")
	request := context.WithValue(t.Context(), valueKey("both"), "request")
	request = context.WithValue(request, valueKey("request"), "request")

	ctx := tenancy.Detach(tenancy.NewContext(request, acme), life)
	if got, ok := tenancy.FromContext(ctx); !ok || got != acme {
		t.Errorf("got the tenant %v, want that of the request", got)
	}
	for key, want := range map[valueKey]any{"both": "request", "request": "request", "life": "life", "none": nil} {
		if got := ctx.Value(key); got != want {
			t.Errorf("Value(%s) = %v, want %v", key, got, want)
		}
	}
	if got, ok := tenancy.FromContext(tenancy.Detach(request, life)); ok {
		t.Errorf("got the tenant %s of a request without one", got.ID)
	}
	inner := tenancy.NewContext(ctx, umbrella)
	if got, _ := tenancy.FromContext(tenancy.Detach(inner, ctx)); got != umbrella {
		t.Errorf("detached twice: got %v, want the inner tenant", got)
	}
}

func TestDetachEndsWithLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errShutdown := errors.New("shutdown")
		life, shutdown := context.WithCancelCause(t.Context())
		request, answered := context.WithTimeout(as(t, "acme"), time.Second)
		ctx := tenancy.Detach(request, life)
		if at, ok := ctx.Deadline(); ok {
			t.Errorf("got the deadline %v, want none", at)
		}
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		woken := make(chan struct{})
		defer context.AfterFunc(ctx, func() { close(woken) })()

		answered()
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if request.Err() == nil || ctx.Err() != nil || child.Err() != nil || context.Cause(ctx) != nil {
			t.Errorf("after the request: got %v and %v, want both contexts alive", ctx.Err(), child.Err())
		}

		shutdown(errShutdown)
		synctest.Wait()
		<-woken
		for name, each := range map[string]context.Context{"detached": ctx, "its child": child} {
			if !errors.Is(each.Err(), context.Canceled) || !errors.Is(context.Cause(each), errShutdown) {
				t.Errorf("%s: got %v because of %v, want canceled because of the shutdown", name, each.Err(), context.Cause(each))
			}
			if got, ok := tenancy.FromContext(each); !ok || got.ID != "acme" {
				t.Errorf("%s: got %v, want its tenant still", name, got)
			}
		}
	})
}

func TestDetachFromWhatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		request, cancel := context.WithCancel(as(t, "acme"))
		cancel()
		life, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ctx := tenancy.Detach(request, life)
		if want, _ := life.Deadline(); ctx.Err() != nil {
			t.Errorf("got %v, want a context that is alive", ctx.Err())
		} else if got, ok := ctx.Deadline(); !ok || got != want {
			t.Errorf("got the deadline %v, want that of life", got)
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of life", ctx.Err())
		}
	})
}

func TestDetachPanicsWithoutContext(t *testing.T) {
	t.Parallel()
	for name, detach := range map[string]func(){
		"no request": func() { tenancy.Detach(nil, t.Context()) }, //nolint:staticcheck // the mistake
		"no life":    func() { tenancy.Detach(t.Context(), nil) }, //nolint:staticcheck // the mistake
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: got no panic, want one", name)
				}
			}()
			detach()
		}()
	}
}

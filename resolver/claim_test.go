package resolver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestClaim(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	for _, tt := range []struct {
		kind   tenancy.RefKind
		claims map[string]any
		want   resolver.Match
		err    error
	}{
		{0, map[string]any{"tid": "a_b", "sub": "x"}, id("a_b"), nil},
		{tenancy.RefSlug, map[string]any{"tid": "acme"}, slug("acme"), nil},
		{0, nil, none, unresolved},
		{0, map[string]any{"sub": "a_b", "TID": "a_b"}, none, unresolved},
		{0, map[string]any{"tid": nil}, none, invalid},
		{0, map[string]any{"tid": 42}, id("42"), nil},
		{0, map[string]any{"tid": int64(42)}, id("42"), nil},
		{0, map[string]any{"tid": 42.0}, id("42"), nil}, // as encoding/json has all numbers
		{0, map[string]any{"tid": float64(1<<53 - 1)}, id("9007199254740991"), nil},
		{0, map[string]any{"tid": float64(1 << 53)}, none, invalid}, // may have been 1<<53 + 1
		{0, map[string]any{"tid": 4.2}, none, invalid},
		{0, map[string]any{"tid": -42.0}, none, invalid},
		{0, map[string]any{"tid": math.NaN()}, none, invalid},
		{0, map[string]any{"tid": math.Inf(1)}, none, invalid},
		{0, map[string]any{"tid": json.Number("90071992547409931")}, id("90071992547409931"), nil},
		{0, map[string]any{"tid": json.Number("4.2e1")}, none, invalid},
		{0, map[string]any{"tid": json.Number("-42")}, none, invalid},
		{0, map[string]any{"tid": []any{"a_b"}}, id("a_b"), nil},
		{0, map[string]any{"tid": []string{"a_b"}}, id("a_b"), nil},
		{0, map[string]any{"tid": []any{42.0}}, id("42"), nil},
		{0, map[string]any{"tid": []any{"a_b", "c"}}, none, invalid},
		{0, map[string]any{"tid": []any{"a_b", "a_b"}}, none, invalid},
		{0, map[string]any{"tid": []any{}}, none, invalid},
		{0, map[string]any{"tid": []any{[]any{"a_b"}}}, none, invalid},
		{0, map[string]any{"tid": map[string]any{"id": "a_b"}}, none, invalid},
		{0, map[string]any{"tid": true}, none, invalid},
		{0, map[string]any{"tid": []byte("a_b")}, none, invalid},
		{0, map[string]any{"tid": tenancy.ID("a_b")}, none, invalid},
		{0, map[string]any{"tid": ""}, none, invalid},
		{0, map[string]any{"tid": "../x"}, none, invalid},
		{tenancy.RefSlug, map[string]any{"tid": "a_b"}, none, invalid},
	} {
		claims := func(*http.Request) (map[string]any, error) { return tt.claims, nil }
		by := tenancy.Must(resolver.NewClaim("tid", claims, &resolver.ClaimOptions{Kind: tt.kind}))
		check(t, by, get("/"), tt.want, tt.err)
	}
}

func TestClaimErrors(t *testing.T) {
	t.Parallel()
	expired := errors.New("token expired")
	for _, tt := range []struct {
		err             error
		unauthenticated bool
	}{
		{expired, true},
		{fmt.Errorf("verify: %w", expired), true},
		{tenancy.ErrUnauthenticated, true},
		{fmt.Errorf("keys: %w", tenancy.ErrUnavailable), false},
		{fmt.Errorf("scope: %w", tenancy.ErrForbidden), false},
		{tenancy.ErrInvalid, false},
		{tenancy.ErrLimited, false},
	} {
		claims := func(*http.Request) (map[string]any, error) { return map[string]any{"tid": "a_b"}, tt.err }
		m, err := tenancy.Must(resolver.NewClaim("tid", claims, nil)).Resolve(get("/"))
		if m != none || !errors.Is(err, tt.err) || errors.Is(err, tenancy.ErrUnauthenticated) != tt.unauthenticated {
			t.Errorf("%v: got %v, %v, want ErrUnauthenticated: %v", tt.err, m, err, tt.unauthenticated)
		}
	}
}

func TestClaimSeesTheRequest(t *testing.T) {
	t.Parallel()
	claims := func(r *http.Request) (map[string]any, error) {
		return map[string]any{"tid": r.Header.Get("X-Token")}, nil
	}
	check(t, tenancy.Must(resolver.NewClaim("tid", claims, nil)), from("192.0.2.1:9", "X-Token", "t9"), id("t9"), nil)
}

// What the host's function says of itself stays as it is.
func TestClaimKeepsErrors(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		context.Canceled, context.DeadlineExceeded, tenancy.ErrNoTenant, tenancy.ErrUnresolved, tenancy.ErrNotFound, tenancy.ErrExists, tenancy.ErrConflict,
		tenancy.ErrNotActive, tenancy.ErrInvalid, tenancy.ErrUnauthenticated, tenancy.ErrForbidden, tenancy.ErrLimited, tenancy.ErrUnavailable, tenancy.ErrClosed,
	} {
		c := tenancy.Must(resolver.NewClaim("tid", func(*http.Request) (map[string]any, error) { return nil, want }, nil))
		if _, err := c.Resolve(get("/")); err != want { //nolint:errorlint // as it is
			t.Errorf("got %v, want %v as it is", err, want)
		}
	}
}

// The log says what is wrong with a claim, and not what is in it.
func TestClaimErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value any
		want  string
	}{
		{[]any{"planted", "planted2", "c"}, "claim tid: a list of 3, want a text, a whole number, or a list of one of these"},
		{map[string]any{"planted": 1}, "claim tid: an object, want"},
		{true, "claim tid: a boolean, want"},
		{nil, "claim tid: null, want"},
		{4.2, "claim tid: no whole number that is exact, want"},
		{float64(1 << 60), "claim tid: no whole number that is exact, want"},
	} {
		claims := func(*http.Request) (map[string]any, error) { return map[string]any{"tid": tt.value}, nil }
		_, err := tenancy.Must(resolver.NewClaim("tid", claims, nil)).Resolve(get("/"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v: got %v, want %q", tt.value, err, tt.want)
		}
	}
}

package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

var quiet = slog.New(slog.DiscardHandler)

// second returns the error of a call that returns two things.
func second[T any](_ T, err error) error { return err }

func byID(s string) tenancy.Ref { return tenancy.Ref{Kind: tenancy.RefID, Value: s} }

// newKeys returns the API keys of a catalog in memory with the tenants acme and
// globex.
func newKeys(t testing.TB, store catalog.Store) (*catalog.KeyIssuer, *catalog.Catalog) {
	t.Helper()
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []tenancy.ID{"acme", "globex"} {
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: id, Slug: string(id)}); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := catalog.NewKeyIssuer(cat, "acme_live", &catalog.KeyIssuerOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return keys, cat
}

func issue(t testing.TB, keys *catalog.KeyIssuer, id tenancy.ID, spec catalog.APIKeySpec) (string, catalog.APIKeyInfo) {
	t.Helper()
	secret, info, err := keys.Issue(t.Context(), id, spec)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return secret.Reveal(), info
}

// kept returns the keys in the tenant's record.
func kept(t testing.TB, cat *catalog.Catalog, id tenancy.ID) []tenancy.APIKey {
	t.Helper()
	found, err := cat.Find(t.Context(), byID(string(id)))
	if err != nil {
		t.Fatal(err)
	}
	return found.Access.Keys
}

func wantListed(t testing.TB, keys *catalog.KeyIssuer, want ...catalog.APIKeyInfo) {
	t.Helper()
	got, err := keys.List(t.Context(), "acme")
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("List: -want +got\n%s", diff)
	}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys, cat := newKeys(t, tenancytest.NewStore())
		wantListed(t, keys)
		office := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		start := time.Now().UTC()
		text, shop := issue(t, keys, "acme", catalog.APIKeySpec{Name: "Shop", Scopes: []string{"notes:write"}, Allow: office, TTL: 24 * time.Hour})
		want := catalog.APIKeyInfo{APIKey: tenancy.APIKey{
			ID: shop.ID, Name: "Shop", Scopes: []string{"notes:write"}, Allow: office, CreatedAt: start, ExpiresAt: start.Add(24 * time.Hour),
		}}
		wantListed(t, keys, want)
		if diff := cmp.Diff(want, shop, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("Issue: -want +got\n%s", diff)
		}
		form := regexp.MustCompile(`^acme_live_acme_` + shop.ID + `_[0-9A-Za-z]{49}$`)
		if !form.MatchString(text) {
			t.Errorf("got the key %s, want %v", text, form)
		}
		if got := kept(t, cat, "acme"); len(got) != 1 || got[0].Hash != tenancy.DigestOf(text) {
			t.Errorf("got %v in the record, want the digest of the text", got)
		}

		// Two are valid at once.
		time.Sleep(time.Hour)
		secret, next, err := keys.Rotate(t.Context(), "acme", shop.ID, 2*time.Hour)
		if err != nil || secret.Reveal() == text || next.ID == shop.ID {
			t.Fatalf("Rotate: got %+v, %v, want another key", next, err)
		}
		renewed := want
		renewed.ID, renewed.CreatedAt, renewed.ExpiresAt = next.ID, start.Add(time.Hour), start.Add(25*time.Hour)
		want.ReplacedBy, want.ExpiresAt = next.ID, start.Add(3*time.Hour)
		wantListed(t, keys, want, renewed)
		if _, _, err := keys.Rotate(t.Context(), "acme", shop.ID, 0); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("Rotate again: got %v, want ErrConflict", err)
		}
		time.Sleep(2*time.Hour - time.Microsecond)
		wantListed(t, keys, want, renewed)
		time.Sleep(time.Microsecond)
		wantListed(t, keys, renewed)
		if got := kept(t, cat, "acme"); len(got) != 2 {
			t.Errorf("got %d keys in the record, want 2 until the next change", len(got))
		}
		if _, _, err := keys.Rotate(t.Context(), "acme", shop.ID, 0); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Rotate of what has expired: got %v, want ErrNotFound", err)
		}

		// One that expires before the given time does not live longer for it.
		time.Sleep(21*time.Hour + 30*time.Minute)
		_, last, err := keys.Rotate(t.Context(), "acme", next.ID, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		renewed.ReplacedBy = last.ID
		wantListed(t, keys, renewed, last)
		if got := kept(t, cat, "acme"); len(got) != 2 {
			t.Errorf("got %d keys in the record, want 2 after a change", len(got))
		}

		// A key without an end gets none.
		time.Sleep(time.Minute)
		_, forever := issue(t, keys, "acme", catalog.APIKeySpec{})
		_, after, err := keys.Rotate(t.Context(), "acme", forever.ID, 0)
		if err != nil || !after.ExpiresAt.IsZero() {
			t.Errorf("Rotate: got %+v, %v, want no end", after, err)
		}
		wantListed(t, keys, renewed, last, after)

		if err := keys.Revoke(t.Context(), "acme", last.ID); err != nil {
			t.Errorf("Revoke: %v", err)
		}
		wantListed(t, keys, renewed, after)
		if err := keys.Revoke(t.Context(), "acme", last.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("Revoke again: got %v, want ErrNotFound", err)
		}
		if err := keys.RevokeAll(t.Context(), "acme"); err != nil {
			t.Errorf("RevokeAll: %v", err)
		}
		wantListed(t, keys)
		if got := kept(t, cat, "acme"); len(got) != 0 {
			t.Errorf("got %v in the record, want no key", got)
		}
	})
}

func TestAPIKeysRefuses(t *testing.T) {
	t.Parallel()
	keys, cat := newKeys(t, tenancytest.NewStore())
	_, old := issue(t, keys, "acme", catalog.APIKeySpec{})
	_, foreign := issue(t, keys, "globex", catalog.APIKeySpec{})
	invalid, missing := tenancy.ErrInvalid, tenancy.ErrNotFound
	do := func(id tenancy.ID, spec catalog.APIKeySpec) error {
		secret, info, err := keys.Issue(t.Context(), id, spec)
		if err != nil && (secret.Reveal() != "" || cmp.Diff(catalog.APIKeyInfo{}, info) != "") {
			t.Errorf("got %v beside the error %v, want nothing", info, err)
		}
		return err
	}
	rotate := func(id tenancy.ID, key string, after time.Duration) error {
		_, _, err := keys.Rotate(t.Context(), id, key, after)
		return err
	}
	list := func(id tenancy.ID) error {
		_, err := keys.List(t.Context(), id)
		return err
	}
	for name, tt := range map[string]struct{ err, want error }{
		"a tenant that is none":      {do("nobody", catalog.APIKeySpec{}), missing},
		"a malformed tenant":         {do("No", catalog.APIKeySpec{}), missing},
		"a name with a line break":   {do("acme", catalog.APIKeySpec{Name: "a\nb"}), invalid},
		"an empty scope":             {do("acme", catalog.APIKeySpec{Scopes: []string{""}}), invalid},
		"two scopes in one":          {do("acme", catalog.APIKeySpec{Scopes: []string{"notes:read notes:write"}}), invalid},
		"a scope with a quote":       {do("acme", catalog.APIKeySpec{Scopes: []string{`notes"`}}), invalid},
		"a prefix that has a host":   {do("acme", catalog.APIKeySpec{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}), invalid},
		"a negative time":            {do("acme", catalog.APIKeySpec{TTL: -1}), invalid},
		"rotate after negative time": {rotate("acme", old.ID, -1), invalid},
		"rotate another tenant's":    {rotate("acme", foreign.ID, 0), missing},
		"rotate nobody's":            {rotate("nobody", old.ID, 0), missing},
		"revoke another tenant's":    {keys.Revoke(t.Context(), "acme", foreign.ID), missing},
		"revoke nothing":             {keys.Revoke(t.Context(), "acme", ""), missing},
		"revoke all of nobody":       {keys.RevokeAll(t.Context(), "nobody"), missing},
		"list nobody's":              {list("nobody"), missing},
	} {
		var e *tenancy.Error
		if !errors.Is(tt.err, tt.want) || !errors.As(tt.err, &e) || !strings.HasPrefix(e.Op, "catalog.KeyIssuer.") {
			t.Errorf("%s: got %v, want %v", name, tt.err, tt.want)
		}
	}
	if a, g := len(kept(t, cat, "acme")), len(kept(t, cat, "globex")); a != 1 || g != 1 {
		t.Errorf("got %d and %d keys, want one each", a, g)
	}
	for range 255 {
		issue(t, keys, "acme", catalog.APIKeySpec{})
	}
	if err := do("acme", catalog.APIKeySpec{}); !errors.Is(err, invalid) {
		t.Errorf("257 keys: got %v, want ErrInvalid", err)
	}
	for name, err := range map[string]error{
		"no catalog":         second(catalog.NewKeyIssuer(nil, "a", nil)),
		"no prefix":          second(catalog.NewKeyIssuer(cat, "", nil)),
		"a malformed prefix": second(catalog.NewKeyIssuer(cat, "a_", nil)),
		"negative Every":     second(catalog.NewKeyIssuer(cat, "a", &catalog.KeyIssuerOptions{Every: -1})),
	} {
		if !errors.Is(err, invalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestAPIKeysAtOnce(t *testing.T) {
	t.Parallel()
	keys, cat := newKeys(t, tenancytest.NewStore())
	const n = 12
	texts := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { texts[i], _ = issue(t, keys, "acme", catalog.APIKeySpec{}) })
	}
	wg.Wait()
	hashes := map[tenancy.Digest]bool{}
	for _, key := range kept(t, cat, "acme") {
		hashes[key.Hash] = true
	}
	for _, text := range texts {
		if !hashes[tenancy.DigestOf(text)] {
			t.Errorf("got no hash of a key that was issued")
		}
	}
}

// What a key says of itself holds neither its text nor its hash.
func TestAPIKeysAreSecret(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	store := &forgetful{Store: tenancytest.NewStore()}
	cat, err := catalog.NewWithStore(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
		t.Fatal(err)
	}
	keys, err := catalog.NewKeyIssuer(cat, "acme_live", &catalog.KeyIssuerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	secret, info, err := keys.Issue(t.Context(), "acme", catalog.APIKeySpec{Name: "Shop"})
	if err != nil {
		t.Fatal(err)
	}
	text := secret.Reveal()
	listed, err := keys.List(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	show := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %v %+v %#v", b, v, v, v)
	}
	found, err := cat.Find(t.Context(), byID("acme"))
	if err != nil {
		t.Fatal(err)
	}
	part := text[len("acme_live_acme_0123456789_"):][:12]
	for what, got := range map[string]string{"the secret": show(secret), "Issue": show(info), "List": show(listed), "the record": show(found)} {
		if strings.Contains(got, part) {
			t.Errorf("%s: got %s, want nothing of the key", what, got)
		}
		if what != "the record" && strings.Contains(got, tenancy.DigestOf(text).String()) {
			t.Errorf("%s: got %s, want no hash", what, got)
		}
	}
	store.fails.Store(true)
	_, _, rotate := keys.Rotate(t.Context(), "acme", text, 0) // as who mistakes the one for the other
	errs := fmt.Sprint(rotate, keys.Revoke(t.Context(), "acme", text))
	if err := keys.Revoke(t.Context(), "acme", info.ID); err != nil {
		t.Fatal(err)
	}
	if log.Len() == 0 {
		t.Error("got no log of uses that could not be forgotten")
	}
	if got := errs + log.String(); strings.Contains(got, part) {
		t.Errorf("got %s, want nothing of the key", got)
	}
}

// forgetful is a store that, while it fails, knows nothing of uses.
type forgetful struct {
	*tenancytest.Store
	fails atomic.Bool
	saved atomic.Int64
}

func (f *forgetful) SaveUses(ctx context.Context, all []catalog.KeyUse) error {
	if f.fails.Load() {
		return io.ErrUnexpectedEOF
	}
	f.saved.Add(1)
	return f.Store.SaveUses(ctx, all)
}

func (f *forgetful) ForgetUses(ctx context.Context, id tenancy.ID, keys []string) error {
	if f.fails.Load() {
		return io.ErrUnexpectedEOF
	}
	return f.Store.ForgetUses(ctx, id, keys)
}

func usedAt(t testing.TB, keys *catalog.KeyIssuer) time.Time {
	t.Helper()
	all, err := keys.List(t.Context(), "acme")
	if err != nil || len(all) != 1 {
		t.Fatalf("List: got %v, %v, want one key", all, err)
	}
	return all[0].UsedAt
}

func TestAPIKeysRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &forgetful{Store: tenancytest.NewStore()}
		keys, _ := newKeys(t, store)
		_, info := issue(t, keys, "acme", catalog.APIKeySpec{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keys.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		first := time.Now().UTC()
		for range 1000 {
			keys.Used("acme", info.ID, first)
		}
		pass(5*time.Second - 1)
		if got := usedAt(t, keys); !got.IsZero() {
			t.Errorf("got used at %v, want not yet", got)
		}
		pass(1)
		if got := usedAt(t, keys); !got.Equal(first) || store.saved.Load() != 1 {
			t.Errorf("got used at %v after %d writes, want %v after one", got, store.saved.Load(), first)
		}
		pass(time.Minute)
		if got := store.saved.Load(); got != 1 {
			t.Errorf("got %d writes, want none of nothing", got-1)
		}

		// What could not be written is written later, and not over what is newer.
		store.fails.Store(true)
		second := time.Now().UTC()
		keys.Used("acme", info.ID, second)
		pass(time.Minute)
		if got := usedAt(t, keys); !got.Equal(first) {
			t.Errorf("got used at %v, want %v", got, first)
		}
		store.fails.Store(false)
		pass(5 * time.Second)
		if got := usedAt(t, keys); !got.Equal(second) {
			t.Errorf("got used at %v, want %v", got, second)
		}

		// The end is written, too.
		last := time.Now().UTC()
		keys.Used("acme", info.ID, last)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := usedAt(t, keys); !got.Equal(last) {
			t.Errorf("got used at %v, want %v", got, last)
		}
		store.fails.Store(true)
		keys.Used("acme", info.ID, last.Add(time.Second))
		if err := keys.Run(ctx); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("Run that cannot write: got %v, want ErrUnavailable", err)
		}
	})
}

// A key that is used all the time is noted once a second, and each of many keys is.
func TestAPIKeysUsedOften(t *testing.T) {
	t.Parallel()
	store := &counting{Store: tenancytest.NewStore(), last: map[catalog.KeyUse]bool{}}
	keys, _ := newKeys(t, store)
	const many = 1000
	begin := time.Unix(1_000_000, 0)
	for second := range 3 {
		for i := range many {
			at := begin.Add(time.Duration(second) * time.Second)
			keys.Used(tenancy.ID(fmt.Sprint("t", i%10)), fmt.Sprint(i/10), at.Add(time.Millisecond))
			keys.Used(tenancy.ID(fmt.Sprint("t", i%10)), fmt.Sprint(i/10), at.Add(900*time.Millisecond))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := keys.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(store.last) != many {
		t.Errorf("got %d keys written, want %d", len(store.last), many)
	}
	for use := range store.last {
		if want := begin.Add(2*time.Second + time.Millisecond); !use.At.Equal(want) {
			t.Errorf("got %v, want %v, the first in the last second", use.At, want)
		}
	}
}

// A use that is written down after its key was revoked does not stay forever.
func TestAPIKeysUsesOfRevokedKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := tenancytest.NewStore()
		keys, _ := newKeys(t, store)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, lasting := issue(t, keys, "acme", catalog.APIKeySpec{})
		for range 10 {
			_, info := issue(t, keys, "acme", catalog.APIKeySpec{})
			keys.Used("acme", lasting.ID, time.Now())
			keys.Used("acme", info.ID, time.Now())
			if err := keys.Revoke(t.Context(), "acme", info.ID); err != nil {
				t.Fatal(err)
			}
			if err := keys.Run(ended); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		all, err := store.Uses(t.Context(), "acme")
		if err != nil || len(all) != 2 || usedAt(t, keys).IsZero() {
			t.Errorf("got %v, %v, want the use of the key that there is and of the last that was revoked", all, err)
		}
	})
}

func TestAPIKeysUsesAreBounded(t *testing.T) {
	t.Parallel()
	store := &counting{Store: tenancytest.NewStore()}
	keys, _ := newKeys(t, store)
	for i := range 300_000 {
		keys.Used("acme", fmt.Sprint(i), time.Unix(1, 0))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := keys.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if store.rows > 100_000 || store.rows < 90_000 || store.most > 500 {
		t.Errorf("got %d uses of 300,000 written, %d at a time, want 100,000 and 500 at the most", store.rows, store.most)
	}
}

type counting struct {
	*tenancytest.Store
	rows, most int
	last       map[catalog.KeyUse]bool
}

func (c *counting) SaveUses(_ context.Context, all []catalog.KeyUse) error {
	c.rows += len(all)
	c.most = max(c.most, len(all))
	if c.last != nil {
		for _, each := range all {
			c.last[each] = true
		}
	}
	return nil
}

// plain is a store that keeps no uses.
type plain struct{ catalog.Store }

func TestAPIKeysWithoutUses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys, _ := newKeys(t, plain{tenancytest.NewStore()})
		_, info := issue(t, keys, "acme", catalog.APIKeySpec{})
		keys.Used("acme", info.ID, time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := keys.Run(ctx); err != nil || ctx.Err() == nil {
			t.Errorf("Run: got %v before the end, want nil at it", err)
		}
		if got := usedAt(t, keys); !got.IsZero() {
			t.Errorf("got used at %v, want not known", got)
		}
		if err := keys.Revoke(t.Context(), "acme", info.ID); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	})
}

// The stores of this module keep uses; a suite skips that for others.
func TestSQLKeepsUses(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		cat := open(t, s)
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
			t.Fatal(err)
		}
		keys, err := catalog.NewKeyIssuer(cat, "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, info := issue(t, keys, "acme", catalog.APIKeySpec{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// Two processes write the same, at once.
		var wg sync.WaitGroup
		at := time.Unix(1_700_000_000, 0).UTC()
		for i := range 8 {
			mine, err := catalog.NewKeyIssuer(cat, "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			for j := range 700 {
				mine.Used("globex", fmt.Sprint(j), at)
			}
			mine.Used("acme", info.ID, at.Add(time.Duration(i)*time.Second))
			wg.Go(func() {
				if err := mine.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		wg.Wait()
		if got, want := usedAt(t, keys), at.Add(7*time.Second); !got.Equal(want) {
			t.Errorf("got used at %v, want %v", got, want)
		}
	})
}

func BenchmarkAPIKeysUsed(b *testing.B) {
	keys, _ := newKeys(b, tenancytest.NewStore())
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%010d", i)
	}
	at := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			keys.Used("acme", ids[i%len(ids)], at.Add(time.Duration(i)))
		}
	})
}

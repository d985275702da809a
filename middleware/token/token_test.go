package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func newKey(id string) Key { return Key{id, tenancy.NewSecret(rand.Text() + rand.Text())} }

func newTokens(t testing.TB, opts *Options, keys ...Key) *Tokens {
	t.Helper()
	k, err := New("notes", keys, opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t testing.TB, k *Tokens, tenant *tenancy.Tenant, ttl time.Duration, scopes ...string) (string, *middleware.Principal) {
	t.Helper()
	secret, p, err := k.Issue(tenant, "ann", scopes, ttl)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return secret.Reveal(), p
}

func bearer(text string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	return r
}

var acme, globex = &tenancy.Tenant{ID: "t-acme"}, &tenancy.Tenant{ID: "t-globex"}

func TestIssue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(t, nil, newKey("k1"))
		time.Sleep(700 * time.Millisecond)
		text, p := issue(t, k, acme, time.Hour, "notes:read", "notes:write")
		want := &middleware.Principal{
			Tenant: acme.ID, ID: p.ID, Subject: "ann", Scopes: []string{"notes:read", "notes:write"},
			ExpiresAt: time.Now().UTC().Truncate(time.Second).Add(time.Hour),
		}
		if diff := cmp.Diff(want, p); diff != "" || p.ID == "" {
			t.Errorf("Issue: -want +got\n%s", diff)
		}
		got, err := k.Authenticate(bearer(text), acme)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Authenticate: %v, -want +got\n%s", err, diff)
		}
		if _, other := issue(t, k, acme, 0); other.ID == p.ID || !other.ExpiresAt.Equal(time.Now().Truncate(time.Second).Add(15*time.Minute)) {
			t.Errorf("got %+v, want another ID and 15 minutes", other)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
		var said map[string]any
		if err := json.Unmarshal(payload, &said); err != nil {
			t.Fatal(err)
		}
		now := float64(time.Now().Unix())
		wantSaid := map[string]any{
			"iss": "notes", "aud": "t-acme", "sub": "ann", "scope": "notes:read notes:write", "jti": p.ID, "iat": now, "nbf": now, "exp": now + 3600,
		}
		if diff := cmp.Diff(wantSaid, said); diff != "" {
			t.Errorf("claims: -want +got\n%s", diff)
		}
	})
}

func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	k := newTokens(t, nil, newKey("k1"))
	for name, tt := range map[string]struct {
		subject string
		scopes  []string
		ttl     time.Duration
	}{
		"no subject":      {"", nil, 0},
		"a long subject":  {strings.Repeat("x", 257), nil, 0},
		"no UTF-8":        {"\xff", nil, 0},
		"a negative time": {"ann", nil, -time.Second},
		"less than one":   {"ann", nil, time.Millisecond},
		"an empty scope":  {"ann", []string{""}, 0},
		"two scopes":      {"ann", []string{"a b"}, 0},
		"10 KB":           {"ann", []string{strings.Repeat("x", 10<<10)}, 0},
	} {
		if secret, p, err := k.Issue(acme, tt.subject, tt.scopes, tt.ttl); !errors.Is(err, tenancy.ErrInvalid) || p != nil || secret.Reveal() != "" {
			t.Errorf("%s: got %v, %v, want ErrInvalid alone", name, p, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := newKey("k1")
	short := Key{"k2", tenancy.NewSecret("planted-key-of-31-bytes-0123456")}
	for name, tt := range map[string]struct {
		issuer string
		keys   []Key
		opts   *Options
	}{
		"no issuer":      {"", []Key{good}, nil},
		"no UTF-8":       {"\xff", []Key{good}, nil}, // which its own tokens could not say
		"no key":         {"notes", nil, nil},
		"a short key":    {"notes", []Key{good, short}, nil},
		"no ID":          {"notes", []Key{{"", good.Secret}}, nil},
		"an odd ID":      {"notes", []Key{{"a/b", good.Secret}}, nil},
		"a long ID":      {"notes", []Key{{strings.Repeat("x", 65), good.Secret}}, nil},
		"one ID twice":   {"notes", []Key{good, newKey("k1")}, nil},
		"a negative TTL": {"notes", []Key{good}, &Options{TTL: -1}},
	} {
		if _, err := New(tt.issuer, tt.keys, tt.opts); !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: got %v, want ErrInvalid without a secret", name, err)
		}
	}
}

// sign returns a token as only who has the key can make one.
func sign(t testing.TB, m *master, of tenancy.ID, header map[string]any, body any) string {
	t.Helper()
	key, err := m.derive(of)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := encode(header) + "." + encode(body)
	mac, err := jwt.SigningMethodHS256.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(mac)
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	k1, k2, retired := newKey("k1"), newKey("k2"), newKey("k0")
	k := newTokens(t, nil, k1, k2)
	before := newTokens(t, nil, k2, retired)
	m := &k.keys[0]
	made, _ := issue(t, k, acme, time.Hour)
	parts := strings.Split(made, ".")
	now := time.Now().Unix()
	said := func(change map[string]any) map[string]any {
		out := map[string]any{"iss": "notes", "aud": "t-acme", "sub": "ann", "jti": "1", "iat": now, "nbf": now, "exp": now + 60}
		for name, v := range change {
			out[name] = v
			if v == nil {
				delete(out, name)
			}
		}
		return out
	}
	signed := func(change map[string]any) string { return sign(t, m, acme.ID, headerOf("k1"), said(change)) }
	headed := func(change map[string]any) string {
		header := headerOf("k1")
		for name, v := range change {
			header[name] = v
		}
		return sign(t, m, acme.ID, header, said(nil))
	}
	foreign, _ := issue(t, k, globex, time.Hour)
	old, _ := issue(t, before, acme, time.Hour)
	oldest, _ := issue(t, newTokens(t, nil, retired), acme, time.Hour)
	otherIssuer, err := New("other", []Key{k1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ofOther, _ := issue(t, otherIssuer, acme, time.Hour)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asymmetric := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims(said(nil)))
	asymmetric.Header = map[string]any{"alg": "EdDSA", "kid": "k1", "typ": typ}
	confused, err := asymmetric.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	end := "B" // the same bytes to a decoder that is not strict
	for _, c := range "AEIMQUYcgkosw048" {
		if strings.HasSuffix(made, string(c)) {
			end = string(c + 1)
		}
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1","typ":"` + typ + `"}`))
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"as made", made, true},
		{"with an older key", old, true},
		{"signed by hand", signed(nil), true},
		{"within the leeway", signed(map[string]any{"exp": now - 5}), true},
		{"from a clock ahead", signed(map[string]any{"iat": now + 5, "nbf": now + 5}), true},
		{"of a key that was retired", oldest, false},
		{"another tenant's", foreign, false},
		{"another tenant's, signed for this", sign(t, m, acme.ID, headerOf("k1"), said(map[string]any{"aud": "t-globex"})), false},
		{"this tenant's, signed for another", sign(t, m, globex.ID, headerOf("k1"), said(nil)), false},
		{"a list of tenants", signed(map[string]any{"aud": []string{"t-acme", "t-globex"}}), false},
		{"a list of one", signed(map[string]any{"aud": []string{"t-acme"}}), false},
		{"no tenant", signed(map[string]any{"aud": nil}), false},
		{"another issuer", ofOther, false},
		{"no issuer", signed(map[string]any{"iss": nil}), false},
		{"no subject", signed(map[string]any{"sub": nil}), false},
		{"no ID", signed(map[string]any{"jti": nil}), false},
		{"no end", signed(map[string]any{"exp": nil}), false},
		{"an end that is a text", signed(map[string]any{"exp": "soon"}), false},
		{"expired", signed(map[string]any{"exp": now - 60}), false},
		{"not yet", signed(map[string]any{"nbf": now + 60}), false},
		{"issued in the future", signed(map[string]any{"iat": now + 60}), false},
		{"none", none + "." + parts[1] + ".", false},
		{"none with a signature", none + "." + parts[1] + "." + parts[2], false},
		{"no algorithm of ours", headed(map[string]any{"alg": "HS512"}), false},
		{"an algorithm in small letters", headed(map[string]any{"alg": "hs256"}), false},
		{"asymmetric", confused, false},
		{"another key's name", headed(map[string]any{"kid": "k2"}), false},
		{"an unknown key", headed(map[string]any{"kid": "../k1"}), false},
		{"a key in the header", headed(map[string]any{"jwk": map[string]string{"kty": "oct", "k": "AAAA"}}), false},
		{"critical extensions", headed(map[string]any{"crit": []string{"b64"}, "b64": false}), false},
		{"another body", parts[0] + "." + strings.Split(signed(nil), ".")[1] + "." + parts[2], false},
		{"no signature", parts[0] + "." + parts[1] + ".", false},
		{"two parts", parts[0] + "." + parts[1], false},
		{"one part", parts[0], false},
		{"four parts", made + ".x", false},
		{"truncated", made[:len(made)-1], false},
		{"other last bits", made[:len(made)-1] + end, false},
		{"padded", made + "=", false},
		{"with a line break", made[:len(made)-2] + "\n" + made[len(made)-2:], false},
		{"empty", "", false},
		{"dots", "..", false},
		{"10 KB", parts[0] + "." + strings.Repeat("A", 10<<10) + "." + parts[2], false},
		{"10 KB, signed", signed(map[string]any{"x": strings.Repeat("A", 10<<10)}), false},
		{"master key itself", func() string {
			text := parts[0] + "." + parts[1]
			mac, err := jwt.SigningMethodHS256.Sign(text, []byte(k1.Secret.Reveal()))
			if err != nil {
				t.Fatal(err)
			}
			return text + "." + base64.RawURLEncoding.EncodeToString(mac)
		}(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := k.Verify(tt.text, acme)
			if (err == nil) != tt.ok || (p != nil) != tt.ok || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
				t.Errorf("got %v, %v, want %v", p, err, tt.ok)
			}
			if err != nil && tt.text != "" && (strings.Contains(err.Error(), tt.text) || len(err.Error()) > 200) {
				t.Errorf("got %v, want nothing of the token", err)
			}
			// The same of the request's header, but that others may know what this is.
			p, err = k.Authenticate(bearer(tt.text), acme)
			if (p != nil) != tt.ok || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
				t.Errorf("Authenticate: got %v, %v, want %v", p, err, tt.ok)
			}
			said, err := k.Claims(bearer(tt.text))
			if said != nil && err != nil || said["aud"] == "t-acme" && !tt.ok {
				t.Errorf("Claims: got %v, %v, want %v", said, err, tt.ok)
			}
		})
	}
	record := acme.Clone()
	record.Access.TokenGeneration = 1
	made, p := issue(t, k, record, time.Hour)
	for name, tt := range map[string]struct {
		generation int64
		revoked    string
		ok         bool
	}{
		"of this generation": {1, "", true}, "of one before": {2, "", false}, "of one that is not heard of here": {0, "", true},
		"revoked": {1, p.ID, false}, "another revoked": {1, "x", true},
	} {
		record := acme.Clone()
		record.Access.TokenGeneration = tt.generation
		record.Access.RevokedTokens = []tenancy.RevokedToken{{ID: tt.revoked}}
		if _, err := k.Verify(made, record); (err == nil) != tt.ok || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("%s: got %v, want %v", name, err, tt.ok)
		}
	}
}

// What is printed of Tokens holds no key, and nothing from which one is derived.
func TestTokensAreSecret(t *testing.T) {
	t.Parallel()
	key := newKey("k1")
	k := newTokens(t, nil, key)
	shown := fmt.Sprintf("%v %+v %#v %v", k, k, k, key)
	for _, secret := range []string{key.Secret.Reveal(), k.keys[0].prk.Reveal()} {
		for _, form := range []string{secret, fmt.Sprintf("%d", []byte(secret))[1:40], fmt.Sprintf("%#v", []byte(secret))[7:40]} {
			if strings.Contains(shown, form) {
				t.Errorf("got %s, want no key", shown)
			}
		}
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := newKey("k1")
		k, strict := newTokens(t, nil, key), newTokens(t, &Options{Leeway: -1}, key)
		text, _ := issue(t, k, acme, time.Minute)
		check := func(k *Tokens, ok bool) {
			t.Helper()
			if _, err := k.Verify(text, acme); (err == nil) != ok {
				t.Errorf("got %v, want %v", err, ok)
			}
		}
		time.Sleep(time.Minute - 1)
		check(strict, true)
		time.Sleep(time.Nanosecond)
		check(strict, false)
		check(k, true)
		time.Sleep(10*time.Second - 1)
		check(k, true)
		time.Sleep(time.Nanosecond)
		check(k, false)
	})
}

// What is of another form is for another authenticator, and what is of this form for
// nobody else.
func TestOthersTokens(t *testing.T) {
	t.Parallel()
	k := newTokens(t, nil, newKey("k1"))
	retired, _ := issue(t, newTokens(t, nil, newKey("k0")), acme, time.Hour)
	foreign, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "notes", "aud": "t-acme", "sub": "ann"}).SignedString([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	made, _ := issue(t, k, acme, 0)
	header, rest, _ := strings.Cut(made, ".")
	for text, ours := range map[string]bool{
		header + "." + strings.Repeat("A", 10<<10) + rest: true, strings.Repeat("A", 10<<10) + "." + rest: false,
		retired: true, foreign: false, "": false, "x": false, "a.b.c": false, "e30.e30.": false, "acme_live_x": false, ".": false,
	} {
		p, err := k.Authenticate(bearer(text), acme)
		said, errSaid := k.Claims(bearer(text))
		if p != nil || said != nil || errors.Is(err, tenancy.ErrUnauthenticated) != ours || errors.Is(errSaid, tenancy.ErrUnauthenticated) != ours || (err != nil) != ours {
			t.Errorf("%.20s: got %v, %v and %v, %v, want ours: %v", text, p, err, said, errSaid, ours)
		}
	}
	r := bearer(made)
	r.Header.Add("Authorization", "Bearer "+made)
	if p, err := k.Authenticate(r, acme); p != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("two lines: got %v, %v, want ErrInvalid", p, err)
	}
	if _, err := k.Claims(r); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("two lines: got %v, want ErrInvalid", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	one, two := newKey("k1"), newKey("k2")
	before, during, after := newTokens(t, nil, one), newTokens(t, nil, two, one), newTokens(t, nil, two)
	old, _ := issue(t, before, acme, 0)
	fresh, _ := issue(t, during, acme, 0)
	for _, tt := range []struct {
		name string
		k    *Tokens
		text string
		ok   bool
	}{
		{"old, before", before, old, true}, {"old, during", during, old, true}, {"old, after", after, old, false},
		{"new, before", before, fresh, false}, {"new, during", during, fresh, true}, {"new, after", after, fresh, true},
	} {
		if _, err := tt.k.Verify(tt.text, acme); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.ok)
		}
	}
	// Another secret of the same name.
	if _, err := newTokens(t, nil, newKey("k1")).Verify(old, acme); err == nil {
		t.Error("got a token accepted by a key that did not sign it")
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "t-acme", Slug: "acme"}, &tenancy.Tenant{ID: "t-globex", Slug: "globex"})
		k := newTokens(t, nil, newKey("k1"))
		record := func() *tenancy.Tenant {
			t.Helper()
			found, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: "t-acme"})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		check := func(text string, ok bool) {
			t.Helper()
			if _, err := k.Verify(text, record()); (err == nil) != ok {
				t.Errorf("got %v, want %v", err, ok)
			}
		}
		first, p := issue(t, k, record(), time.Minute)
		second, _ := issue(t, k, record(), time.Hour)
		check(first, true)
		for range 2 {
			if err := k.Revoke(t.Context(), cat, p); err != nil {
				t.Fatalf("Revoke: %v", err)
			}
		}
		check(first, false)
		check(second, true)
		if n := len(record().Access.RevokedTokens); n != 1 {
			t.Errorf("got %d revoked tokens in the record, want 1", n)
		}
		// Those that have expired are forgotten, when nobody's clock can think otherwise.
		revoke := func() int {
			t.Helper()
			_, p := issue(t, k, record(), time.Hour)
			if err := k.Revoke(t.Context(), cat, p); err != nil {
				t.Fatalf("Revoke: %v", err)
			}
			all := record().Access.RevokedTokens
			if !slices.IsSortedFunc(all, func(a, b tenancy.RevokedToken) int { return strings.Compare(a.ID, b.ID) }) {
				t.Errorf("got %v, want them in order", all)
			}
			return len(all)
		}
		time.Sleep(2*time.Minute + 10*time.Second)
		if n := revoke(); n != 2 {
			t.Errorf("got %d revoked tokens, want 2", n)
		}
		time.Sleep(time.Second)
		if n := revoke(); n != 2 {
			t.Errorf("got %d revoked tokens, want 2 of 3", n)
		}
		check(first, false)

		third, _ := issue(t, k, record(), time.Hour)
		if err := k.RevokeAll(t.Context(), cat, "t-acme"); err != nil {
			t.Fatalf("RevokeAll: %v", err)
		}
		check(second, false)
		check(third, false)
		fourth, _ := issue(t, k, record(), time.Hour) // within the same second
		check(fourth, true)
		if n := len(record().Access.RevokedTokens); n != 0 {
			t.Errorf("got %d revoked tokens, want none where all of before are refused", n)
		}
		if err := k.Revoke(t.Context(), cat, &middleware.Principal{Tenant: "t-acme", ID: "key"}); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Revoke of no token: got %v, want ErrInvalid", err)
		}
		expires := &middleware.Principal{Tenant: "t-acme", ID: "key", ExpiresAt: time.Now().Add(time.Hour)} // as of an API key that expires
		if err := k.Revoke(t.Context(), cat, expires); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("Revoke of a key: got %v, want ErrInvalid", err)
		}
		nobody := &middleware.Principal{Tenant: "nobody", ID: "1", Subject: "ann", ExpiresAt: time.Now()}
		for _, err := range []error{k.RevokeAll(t.Context(), cat, "nobody"), k.Revoke(t.Context(), cat, nobody)} {
			if !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("nobody's tokens: got %v, want ErrNotFound", err)
			}
		}
	})
}

// A token of one tenant opens nothing of another, and names its own where it is asked
// to; nothing of it gets into an answer or a log.
func TestTokenAtAnotherTenant(t *testing.T) {
	t.Parallel()
	cat := tenancytest.NewCatalog(t, &tenancy.Tenant{ID: "t-acme", Slug: "acme"}, &tenancy.Tenant{ID: "t-globex", Slug: "globex"})
	k := newTokens(t, nil, newKey("k1"))
	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	byToken := tenancy.Must(resolver.NewClaim("aud", k.Claims, nil))
	for _, of := range []*tenancy.Tenant{acme, globex} {
		text, _ := issue(t, k, of, time.Hour)
		for _, host := range []string{"acme.example.com", "globex.example.com"} {
			for name, by := range map[string]resolver.Resolver{
				"subdomain": bySubdomain, "agree": tenancy.Must(resolver.Agree(cat, bySubdomain, byToken)), "token": byToken,
			} {
				var log bytes.Buffer
				opts := &middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
				var at tenancy.ID
				h := tenancy.Must(middleware.Tenant(cat, by, opts))(tenancy.Must(middleware.Authenticate(k, opts))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					tenant, _ := tenancy.FromContext(r.Context())
					at = tenant.ID
				})))
				r := bearer(text)
				r.Host = host
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				own := "t-"+strings.TrimSuffix(host, ".example.com") == string(of.ID)
				want := map[string]int{"subdomain": 401, "agree": 400, "token": 200}[name]
				if own {
					want = 200
				}
				if w.Code != want || want == 200 && at != of.ID || want != 200 && at != "" {
					t.Errorf("%s: %s's token at %s: got %d at %q, want %d", name, of.ID, host, w.Code, at, want)
				}
				if got := fmt.Sprint(w.Header(), w.Body, log.String()); strings.Contains(got, text[len(text)-20:]) || strings.Contains(got, strings.Split(text, ".")[1]) {
					t.Errorf("%s: got %s, want nothing of the token", name, got)
				}
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := newTokens(f, nil, newKey("k1")) // the fuzzer cannot know the key
	made, _ := issue(f, k, acme, 24*time.Hour)
	f.Add(uint16(0), uint16(0), "")
	f.Add(uint16(len(made)-1), uint16(1), "B")
	f.Add(uint16(0), uint16(len(made)), "e30.e30.e30")
	f.Add(uint16(strings.IndexByte(made, '.')+1), uint16(9), "AAAA")
	f.Fuzz(func(t *testing.T, at, n uint16, text string) {
		start := min(int(at), len(made))
		sent := made[:start] + text + made[min(start+int(n), len(made)):]
		p, err := k.Verify(sent, acme)
		if genuine := sent == made; genuine != (err == nil) || (p != nil) != genuine || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Fatalf("%q: got %v, %v, want exactly what was issued", sent, p, err)
		}
		r := bearer("")
		r.Header.Set("Authorization", "Bearer "+sent)
		said, err := k.Claims(r)
		if said != nil && strings.TrimSpace(sent) != made || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Fatalf("%q: got %v, %v, want the claims of what was issued alone", sent, said, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	k := newTokens(b, nil, newKey("k2"), newKey("k1"))
	text, _ := issue(b, k, acme, time.Hour, "read")
	r := bearer(text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Authenticate(r, acme); err != nil {
			b.Fatal(err)
		}
	}
}

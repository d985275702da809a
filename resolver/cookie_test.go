package resolver_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func newCookie(name string, key tenancy.Secret, opts *resolver.CookieOptions) *resolver.Cookie {
	return tenancy.Must(resolver.NewCookie(name, key, opts))
}

// with returns a request with these values of the cookie "tenant".
func with(values ...string) *http.Request {
	r := get("/")
	for _, v := range values {
		r.Header.Add("Cookie", "tenant="+v)
	}
	return r
}

func TestCookieRoundTrip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		opts           *resolver.CookieOptions
		secure, domain string
		maxAge         int
	}{
		{nil, "; Secure", "", 30 * 24 * 3600},
		{&resolver.CookieOptions{MaxAge: time.Hour, Insecure: true, Domain: "example.com"}, "", "; Domain=example.com", 3600},
	} {
		by := newCookie("tenant", key, tt.opts)
		c := by.New("acme_1")
		got := &http.Cookie{Name: "tenant", Path: c.Path, Domain: c.Domain, MaxAge: c.MaxAge, Secure: c.Secure, HttpOnly: c.HttpOnly, SameSite: c.SameSite}
		want := &http.Cookie{
			Name: "tenant", Path: "/", Domain: strings.TrimPrefix(tt.domain, "; Domain="), MaxAge: tt.maxAge,
			Secure: tt.secure != "", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		}
		if got.String() != want.String() {
			t.Errorf("got the attributes %s, want %s", got, want)
		}
		w := httptest.NewRecorder()
		http.SetCookie(w, c)
		r := get("/")
		r.AddCookie(&http.Cookie{Name: "other", Value: "x"})
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
		check(t, by, r, id("acme_1"), nil)
	}
}

func TestCookieExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		by := newCookie("tenant", key, &resolver.CookieOptions{MaxAge: time.Hour})
		r := with(by.New("acme").Value)
		time.Sleep(time.Hour - time.Second)
		check(t, by, r, id("acme"), nil)
		time.Sleep(time.Second)
		check(t, by, r, none, tenancy.ErrUnresolved)
		time.Sleep(time.Hour)
		check(t, by, r, none, tenancy.ErrUnresolved)
	})
}

func TestCookieRefuses(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	by := newCookie("tenant", key, nil)
	made := by.New("acme").Value
	cut := strings.LastIndexByte(made, '.')
	payload, mac := made[:cut], made[cut+1:]
	otherKey := tenancy.NewSecret(strings.Repeat("k", 32))
	otherEnd := "B" // the same 32 bytes to a decoder that is not strict
	for _, c := range "AEIMQUYcgkosw048" {
		if strings.HasSuffix(made, string(c)) {
			otherEnd = string(c + 1)
		}
	}
	for _, tt := range []struct {
		name   string
		values []string
		want   resolver.Match
		err    error
	}{
		{"as made", []string{made}, id("acme"), nil},
		{"twice the same", []string{made, made}, id("acme"), nil},
		{"in quotes", []string{`"` + made + `"`}, id("acme"), nil},
		{"none", nil, none, unresolved},
		{"two tenants", []string{made, by.New("umbrella").Value}, none, invalid},
		{"beside a forged one", []string{made, "x"}, none, invalid},
		{"behind a forged one", []string{"x", made}, none, invalid},
		{"empty", []string{""}, none, invalid},
		{"no dot", []string{"acme"}, none, invalid},
		{"dot alone", []string{"."}, none, invalid},
		{"tenant alone", []string{"id.acme"}, none, invalid},
		{"no signature", []string{payload}, none, invalid},
		{"empty signature", []string{payload + "."}, none, invalid},
		{"truncated", []string{made[:len(made)-1]}, none, invalid},
		{"truncated in front", []string{made[1:]}, none, invalid},
		{"lengthened", []string{made + "A"}, none, invalid},
		{"padded", []string{made + "="}, none, invalid},
		{"other last bits", []string{made[:len(made)-1] + otherEnd}, none, invalid},
		{"other tenant", []string{strings.Replace(made, "acme", "umbrella", 1)}, none, invalid},
		{"later expiry", []string{payload + "0." + mac}, none, invalid},
		{"other kind", []string{"slug" + strings.TrimPrefix(made, "id")}, none, invalid},
		{"not base64", []string{payload + ".!" + mac[1:]}, none, invalid},
		{"signature of another cookie", []string{newCookie("other", key, nil).New("acme").Value}, none, invalid},
		{"signature with another key", []string{newCookie("tenant", otherKey, nil).New("acme").Value}, none, invalid},
		{"tenant that is none", []string{by.New("../x").Value}, none, invalid},
		{"tenant in upper case", []string{by.New("ACME").Value}, none, invalid},
		{"tenant that has an expiry", []string{by.New("acme.99999999999").Value}, none, invalid},
		{"10 KB", []string{strings.Repeat("a.", 5<<10)}, none, invalid},
		{"10 KB and a signature", []string{strings.Repeat("a", 10<<10) + made}, none, invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			check(t, by, with(tt.values...), tt.want, tt.err)
		})
	}
	r := get("/")
	r.Header.Set("Cookie", "Tenant="+made)
	check(t, by, r, none, unresolved)
}

func TestCookieKeyRotation(t *testing.T) {
	t.Parallel()
	newKey := tenancy.NewSecret(strings.Repeat("n", 32))
	before := newCookie("tenant", key, nil)
	during := newCookie("tenant", newKey, &resolver.CookieOptions{OldKeys: []tenancy.Secret{tenancy.NewSecret(strings.Repeat("x", 40)), key}})
	after := newCookie("tenant", newKey, nil)
	old, fresh := with(before.New("acme").Value), with(during.New("acme").Value)
	check(t, during, old, id("acme"), nil)
	check(t, during, fresh, id("acme"), nil)
	check(t, after, fresh, id("acme"), nil)
	check(t, after, old, none, tenancy.ErrInvalid)
	check(t, before, fresh, none, tenancy.ErrInvalid)
}

// What is printed of a Cookie holds no key.
func TestCookieKeysAreSecret(t *testing.T) {
	t.Parallel()
	oldKey := tenancy.NewSecret(rand.Text() + rand.Text())
	by := newCookie("tenant", key, &resolver.CookieOptions{OldKeys: []tenancy.Secret{oldKey}})
	shown := fmt.Sprintf("%v %+v %#v", by, by, by)
	for _, k := range []tenancy.Secret{key, oldKey} {
		for _, form := range []string{k.Reveal(), fmt.Sprintf("%d", []byte(k.Reveal()))[1:40], fmt.Sprintf("%#v", []byte(k.Reveal()))[7:40]} {
			if strings.Contains(shown, form) {
				t.Errorf("got %s, want no key", shown)
			}
		}
	}
}

func FuzzCookie(f *testing.F) {
	by := newCookie("tenant", tenancy.NewSecret(rand.Text()+rand.Text()), nil) // the fuzzer cannot know the key
	made := by.New("acme").Value
	f.Add(uint8(0), uint8(0), "")                                       // as made
	f.Add(uint8(0), uint8(255), "id.acme.99999999999.AAAA")             // nothing left of it
	f.Add(uint8(3), uint8(4), "umbrella")                               // another tenant
	f.Add(uint8(len(made)-1), uint8(1), "B")                            // another end
	f.Add(uint8(0), uint8(0), "x; tenant=")                             // two values
	f.Add(uint8(len(made)-43), uint8(43), strings.Repeat("A", 43)+`"=`) // another signature
	f.Fuzz(func(t *testing.T, at, n uint8, text string) {
		start := min(int(at), len(made))
		r := with(made[:start] + text + made[min(start+int(n), len(made)):])
		m, err := by.Resolve(r)
		sane(t, m, err)
		sent := r.CookiesNamed("tenant")
		genuine := len(sent) > 0
		for _, c := range sent {
			genuine = genuine && c.Value == made
		}
		if genuine != (err == nil) || genuine && m != id("acme") {
			t.Fatalf("%q: got %v, %v, want a match exactly for what New made", r.Header, m, err)
		}
		if err != nil {
			refused(t, err)
		}
	})
}

func TestCookieMaxAge(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{-1, time.Millisecond} {
		_, err := resolver.NewCookie("tenant", tenancy.NewSecret(strings.Repeat("k", 32)), &resolver.CookieOptions{MaxAge: age})
		if !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), "%!") {
			t.Errorf("MaxAge %v: got %v, want ErrInvalid", age, err)
		}
	}
}

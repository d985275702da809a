package session_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/session"
)

func newBinder(t testing.TB, key tenancy.Secret, old ...tenancy.Secret) *session.Binder {
	t.Helper()
	s, err := session.New(key, &session.Options{OldKeys: old})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bind binds a session that is not too long.
func bind(t testing.TB, s *session.Binder, id tenancy.ID, of string) string {
	t.Helper()
	bound, err := s.Bind(id, of)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func newSecret() tenancy.Secret { return tenancy.NewSecret(rand.Text() + rand.Text()) }

func TestBinder(t *testing.T) {
	t.Parallel()
	key, oldKey := newSecret(), newSecret()
	s, before := newBinder(t, key, oldKey), newBinder(t, oldKey)
	bound := bind(t, s, "acme", "s.1")
	mac := bound[strings.LastIndexByte(bound, '.')+1:]
	for _, tt := range []struct {
		name   string
		tenant tenancy.ID
		bound  string
		want   string
		ok     bool
	}{
		{"as bound", "acme", bound, "s.1", true},
		{"with the key of before", "acme", bind(t, before, "acme", "s.1"), "s.1", true},
		{"empty", "acme", bind(t, s, "acme", ""), "", true},
		{"long", "acme", bind(t, s, "acme", strings.Repeat("s", 4000)), strings.Repeat("s", 4000), true},
		{"another tenant", "globex", bound, "", false},
		{"no tenant", "", bound, "", false},
		{"another session", "acme", "s.2." + mac, "", false},
		{"a session of another tenant's signature", "acme", "s.1." + strings.TrimPrefix(bind(t, s, "globex", "s.1"), "s.1."), "", false},
		{"a part of the tenant in the session", "acm", "es.1." + mac, "", false},
		{"truncated", "acme", bound[:len(bound)-1], "", false},
		{"truncated in front", "acme", bound[1:], "", false},
		{"lengthened", "acme", bound + "A", "", false},
		{"padded", "acme", bound + "=", "", false},
		{"a line break in the signature", "acme", bound[:len(bound)-2] + "\n" + bound[len(bound)-2:], "", false},
		{"no signature", "acme", "s.1", "", false},
		{"empty signature", "acme", "s.1.", "", false},
		{"nothing", "acme", "", "", false},
		{"with another key", "acme", bind(t, newBinder(t, newSecret()), "acme", "s.1"), "", false},
		{"10 KB", "acme", strings.Repeat("s", 10<<10) + "." + mac, "", false},
	} {
		got, err := s.Open(tt.tenant, tt.bound)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, tenancy.ErrUnauthenticated) {
			t.Errorf("%s: got %.40q, %v, want %.40q", tt.name, got, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s.1") || strings.Contains(err.Error(), mac)) {
			t.Errorf("%s: got %v, want nothing of the session", tt.name, err)
		}
	}
	if _, err := before.Open("acme", bound); !errors.Is(err, tenancy.ErrUnauthenticated) {
		t.Errorf("a key that is newer: got %v, want ErrUnauthenticated", err)
	}
	shown := fmt.Sprintf("%v %+v %#v", s, s, s)
	for _, k := range []tenancy.Secret{key, oldKey} {
		if strings.Contains(shown, k.Reveal()) || strings.Contains(shown, fmt.Sprintf("%#v", []byte(k.Reveal()))[7:40]) || strings.Contains(shown, fmt.Sprintf("%d", []byte(k.Reveal()))[1:40]) {
			t.Errorf("got %s, want no key", shown)
		}
	}
	short := tenancy.NewSecret("planted-key-of-31-bytes-0123456")
	for _, old := range [][]tenancy.Secret{nil, {short}} {
		k := key
		if old == nil {
			k = short
		}
		_, err := session.New(k, &session.Options{OldKeys: old})
		if !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), "planted") {
			t.Errorf("a short key: got %v, want ErrInvalid without it", err)
		}
	}
}

// What Bind makes, Open takes, and what Open would not take, Bind refuses.
func TestLongSessions(t *testing.T) {
	t.Parallel()
	s := newBinder(t, newSecret())
	for n := 4000; n <= 4200; n++ {
		long := strings.Repeat("s", n)
		bound, err := s.Bind("acme", long)
		if n > 4052 {
			if !errors.Is(err, tenancy.ErrInvalid) || bound != "" {
				t.Fatalf("%d bytes: got %d, %v, want ErrInvalid", n, len(bound), err)
			}
			continue
		}
		if got, openErr := s.Open("acme", bound); err != nil || openErr != nil || got != long {
			t.Fatalf("%d bytes: got %d, %v, %v, want it bound and opened", n, len(got), err, openErr)
		}
	}
}

func FuzzBinder(f *testing.F) {
	s := newBinder(f, newSecret()) // the fuzzer cannot know the key
	bound := bind(f, s, "acme", "s1")
	f.Add("acme", uint8(0), uint8(0), "")
	f.Add("globex", uint8(0), uint8(0), "")
	f.Add("acme", uint8(1), uint8(1), "2")
	f.Add("acme", uint8(len(bound)-1), uint8(1), "B")
	f.Fuzz(func(t *testing.T, tenant string, at, n uint8, text string) {
		start := min(int(at), len(bound))
		sent := bound[:start] + text + bound[min(start+int(n), len(bound)):]
		got, err := s.Open(tenancy.ID(tenant), sent)
		if genuine := tenant == "acme" && sent == bound; genuine != (err == nil) || genuine != (got == "s1") {
			t.Fatalf("%q at %q: got %q, %v, want exactly what was bound", sent, tenant, got, err)
		}
	})
}

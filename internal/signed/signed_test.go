package signed_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/signed"
)

// Cookies and sessions that are out there keep their signatures.
func TestOfStaysAsItIs(t *testing.T) {
	t.Parallel()
	const want = "b6a5f87672039af65604cce09faafef9791ecce49669bc4ecce8da44aa1be525"
	if got := hex.EncodeToString(signed.Of([]byte(strings.Repeat("k", 32)), "session", "acme", "s1")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A signature holds for its key, purpose and parts alone.
func TestValid(t *testing.T) {
	t.Parallel()
	old, now := tenancy.NewSecret(strings.Repeat("o", 32)), tenancy.NewSecret(strings.Repeat("n", 32))
	keys := []tenancy.Secret{now, old}
	for _, key := range keys {
		if mac := signed.Of([]byte(key.Reveal()), "session", "acme", "s1"); !signed.Valid(mac, keys, "session", "acme", "s1") || len(mac) != signed.Size {
			t.Error("got a signature by one of the keys refused")
		}
	}
	mac := signed.Of([]byte(now.Reveal()), "session", "acme", "s1")
	for name, valid := range map[string]bool{
		"another tenant":   signed.Valid(mac, keys, "session", "globex", "s1"),
		"another text":     signed.Valid(mac, keys, "session", "acme", "s2"),
		"another purpose":  signed.Valid(mac, keys, "cookie", "acme", "s1"),
		"parts in one":     signed.Valid(mac, keys, "session", "acmes1"),
		"another key":      signed.Valid(mac, keys[1:], "session", "acme", "s1"),
		"no key":           signed.Valid(mac, nil, "session", "acme", "s1"),
		"a part of it":     signed.Valid(mac[:31], keys, "session", "acme", "s1"),
		"nothing at all":   signed.Valid(nil, keys, "session", "acme", "s1"),
		"its parts turned": signed.Valid(mac, keys, "session", "s1", "acme"),
	} {
		if valid {
			t.Errorf("%s: got the signature accepted", name)
		}
	}
}

// A signature has one spelling.
func TestParse(t *testing.T) {
	t.Parallel()
	mac := signed.Of([]byte("k"), "p")
	text := signed.Text(mac)
	if got, ok := signed.Parse(text); !ok || string(got) != string(mac) {
		t.Errorf("got %x, %v, want %x", got, ok, mac)
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[len(text)-1])
	other := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last^1]
	for _, odd := range []string{"", text[1:], text + "A", text + "=", text + "\n", text[:9] + "\r\n" + text[9:], text[:len(text)-1] + string(other)} {
		if _, ok := signed.Parse(odd); ok {
			t.Errorf("%q: got a signature", odd)
		}
	}
}

func TestCheckKey(t *testing.T) {
	t.Parallel()
	if err := signed.CheckKey("key", tenancy.NewSecret(strings.Repeat("k", 32))); err != nil {
		t.Errorf("32 bytes: got %v", err)
	}
	for _, key := range []string{"", strings.Repeat("q", 31)} {
		err := signed.CheckKey("cookie key", tenancy.NewSecret(key))
		if !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "cookie key of") || strings.Contains(err.Error(), "qq") {
			t.Errorf("%d bytes: got %v, want ErrInvalid that names the key and does not show it", len(key), err)
		}
	}
}

package maintenance

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/signed"
)

// Whatever prints a gate does not print the key.
func TestGateKeyIsSecret(t *testing.T) {
	t.Parallel()
	const key = "a key of thirty-two bytes, or more"
	g, err := NewGate(noEditor{}, &GateOptions{Key: tenancy.NewSecret(key)})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, g)
		if strings.Contains(text, key) || strings.Contains(text, fmt.Sprintf(format, []byte(key))) {
			t.Errorf("%s: got the key in %s", format, text)
		}
	}
}

// No text but one that was signed for the plan, and counts still, bypasses it.
func FuzzCookie(f *testing.F) {
	g := &Gate{opts: GateOptions{BypassTTL: time.Hour, Key: tenancy.NewSecret(strings.Repeat("k", signed.MinKey))}}
	p, err := newPlan(&tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Generation: "1", Bypass: tenancy.DigestOf("x")}, "acme")
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	good := g.cookie(p, now).Value
	old := g.cookie(p, now.Add(-time.Hour)).Value
	expiry, mac, _ := strings.Cut(good, ".")
	for _, s := range []string{
		good, old, "", ".", expiry, mac, expiry + "." + mac[1:], "0" + good, "+" + good, " " + good, good + " ", good + "=", expiry + "0." + mac,
		expiry + "." + base64.StdEncoding.EncodeToString(make([]byte, 32)), "-1." + mac, "99999999999999999999." + mac, strings.Repeat("9", 5000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := g.verify(p, value, now); got != (value == good) {
			t.Errorf("%q: got %v, want %v", value, got, value == good)
		}
		r := &http.Request{Header: http.Header{"Cookie": {g.cookieName(p) + "=" + value}}}
		if got := g.bypasses(r, p, now); got && !strings.Contains(value, good) {
			t.Errorf("%q as a header: got a bypass", value)
		}
	})
}

package credential_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

// form is what the documentation of catalog.KeyIssuer says.
var form = regexp.MustCompile(`^acme_live_[a-z0-9][a-z0-9_-]{0,35}_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}$`)

const longest = tenancy.ID("abcdefghijklmnopqrstuvwxyz0123456789")

func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	digits := map[rune]int{}
	const n = 2000
	for range n {
		for _, id := range []tenancy.ID{"a", "acme", "a_b-c__d", tenancy.NewID(), longest} {
			k := credential.NewKey("acme_live", id)
			if !form.MatchString(k.Text) || k.Tenant != id || seen[k.Text] || seen[k.ID] {
				t.Fatalf("got %+v, want a new key of %s of that form", k, id)
			}
			seen[k.Text], seen[k.ID] = true, true
			if got, ok := credential.ParseKey("acme_live", k.Text); !ok || got != k || !got.Genuine() {
				t.Fatalf("got %+v, %v, want %+v", got, ok, k)
			}
			secret := k.Text[len(k.Text)-49 : len(k.Text)-6]
			for _, c := range secret {
				digits[c]++
			}
		}
	}
	// Each digit is as probable as the others: five standard deviations.
	const all, each = n * 5 * 43, n * 5 * 43 / 62.0
	for c, count := range digits {
		if math.Abs(float64(count)-each) > 5*math.Sqrt(each) {
			t.Errorf("got %d times %c of %d, want %.0f", count, c, all, each)
		}
	}
	if len(digits) != 62 {
		t.Errorf("got %d digits, want 62", len(digits))
	}
	if got := len(credential.NewKey(strings.Repeat("x", 32), longest).Text); got != credential.MaxKey {
		t.Errorf("got %d bytes, want %d of the longest key", got, credential.MaxKey)
	}
}

// A key that was made once stays one: its checksum was computed by another program.
func TestParseKeyOfBefore(t *testing.T) {
	t.Parallel()
	const known = "acme_live_t1_0123456789_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg00JoxX"
	if k, ok := credential.ParseKey("acme_live", known); !ok || k.Tenant != "t1" || k.ID != "0123456789" || k.Text != known || !k.Genuine() {
		t.Errorf("got %+v, %v, want a key of t1", k, ok)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	const prefix = "acme_live"
	made := credential.NewKey(prefix, "t-1").Text
	swap := func(s string, i int) string { // another digit
		c := byte('0')
		if s[i] == c {
			c = '1'
		}
		return s[:i] + string(c) + s[i+1:]
	}
	cases := map[string]string{
		"empty": "", "prefix": prefix, "prefix and _": prefix + "_", "another prefix": "acme_test" + made[len(prefix):],
		"upper case": strings.ToUpper(made), "space": made + " ", "twice": made + made, "newline": made + "\n",
		"comma": made + ", " + made, "10 KB": prefix + "_" + strings.Repeat("a", 10<<10) + made,
		"another tenant": strings.Replace(made, "t-1", "t-2", 1), "longer tenant": strings.Replace(made, "t-1", "t-1x", 1),
		"no tenant": strings.Replace(made, "t-1", "", 1),
	}
	for i := range made {
		cases["cut off after "+made[:i]] = made[:i]
		cases["without the first "+made[:i+1]] = made[i+1:]
		cases["mistyped at "+made[:i]] = swap(made, i)
		if i+1 < len(made) && made[i] != made[i+1] {
			cases["swapped at "+made[:i]] = made[:i] + string(made[i+1]) + string(made[i]) + made[i+2:]
		}
	}
	for name, text := range cases {
		k, ok := credential.ParseKey(prefix, text)
		if ok && k.Genuine() || !ok && k != (credential.Key{}) {
			t.Errorf("%s: got %+v, %v, want nothing", name, k, ok)
		}
	}
	// Whatever the checksum says.
	for at := len(prefix) + len("_t-1_"); at < len(made); at++ {
		for _, c := range []string{"\n", "/", ":", "@", "[", "`", "{", "_", "-", "\xff", "\x80", "\xb0", "\xe1"} {
			if text := made[:at] + c + made[at+1:]; text != made {
				if k, ok := credential.ParseKey(prefix, text); ok {
					t.Errorf("%q at %d: got %+v, want nothing", c, at, k)
				}
			}
		}
	}
	if k, ok := credential.ParseKey(prefix, prefix+"_"+strings.Repeat("a", 10<<10)+made[len(prefix):]); ok {
		t.Errorf("10 KB: got %.40v, want nothing by its length alone", k)
	}
	// With a checksum that is right.
	for _, id := range []tenancy.ID{"", "-t", "T", "t/1", "../x", longest + "a", "t\x00", "é"} {
		if k, ok := credential.ParseKey(prefix, credential.NewKey(prefix, id).Text); ok && k.Genuine() {
			t.Errorf("tenant %q: got %+v, want nothing", id, k)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]error{
		"a": nil, "acme_live": nil, "sk2": nil, "a__b": nil, strings.Repeat("x", 32): nil,
		"": tenancy.ErrInvalid, "_a": tenancy.ErrInvalid, "a_": tenancy.ErrInvalid, "2a": tenancy.ErrInvalid, "A": tenancy.ErrInvalid,
		"a-b": tenancy.ErrInvalid, "a b": tenancy.ErrInvalid, "é": tenancy.ErrInvalid, strings.Repeat("x", 33): tenancy.ErrInvalid,
	} {
		if err := credential.CheckPrefix(prefix); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", prefix, err, want)
		}
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines []string
		want  string
		err   error
	}{
		{nil, "", nil},
		{[]string{""}, "", nil},
		{[]string{"Bearer x"}, "x", nil},
		{[]string{"bearer x"}, "x", nil},
		{[]string{"BEARER   x  "}, "x", nil},
		{[]string{"Bearer"}, "", nil},
		{[]string{"Bearer "}, "", nil},
		{[]string{"Bearerx"}, "", nil},
		{[]string{"Basic x"}, "", nil},
		{[]string{"x"}, "", nil},
		{[]string{"Bearer x", "Bearer x"}, "", tenancy.ErrInvalid},
		{[]string{"Bearer x", ""}, "", tenancy.ErrInvalid},
		{[]string{"Basic x", "Bearer x"}, "", tenancy.ErrInvalid},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = tt.lines
		if got, err := credential.Bearer(r); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: got %q, %v, want %q, %v", tt.lines, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	const prefix = "acme_live"
	made := credential.NewKey(prefix, "t_1-x").Text
	f.Add(uint8(0), uint8(0), "")
	f.Add(uint8(10), uint8(3), "t_2")
	f.Add(uint8(len(made)-6), uint8(6), "000000")
	f.Add(uint8(0), uint8(255), prefix+"_a_0123456789_"+strings.Repeat("0", 49))
	f.Fuzz(func(t *testing.T, at, n uint8, text string) {
		start := min(int(at), len(made))
		sent := made[:start] + text + made[min(start+int(n), len(made)):]
		k, ok := credential.ParseKey(prefix, sent)
		if sent == made && !(ok && k.Genuine()) {
			t.Fatalf("%q: got nothing, want a key", sent)
		}
		if ok && k.Genuine() && !form.MatchString(sent) {
			t.Fatalf("%q: got %+v, want a key of that form", sent, k)
		}
		if ok && (k.Text != sent || strings.Trim(k.ID, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" ||
			!strings.HasPrefix(sent, prefix+"_"+string(k.Tenant)+"_"+k.ID+"_") || len(k.ID) != 10) {
			t.Fatalf("%q: got %+v, want its parts", sent, k)
		}
	})
}

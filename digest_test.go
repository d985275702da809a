package tenancy_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	want := tenancy.DigestOf("abc")
	const text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4, appendix
	if want.String() != text {
		t.Errorf("got %v, want %v", want, text)
	}
	for n := range 600 { // lengths of one kind and another
		long := strings.Repeat("x", n)
		if got := tenancy.DigestOf(long); got != sha256.Sum256([]byte(long)) {
			t.Errorf("%d bytes: got %v, want their SHA-256", n, got)
		}
	}
	var got tenancy.Digest
	if err := json.Unmarshal([]byte(`"`+text+`"`), &got); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", text[1:], text + "00", strings.Replace(text, "b", "g", 1)} {
		if err := got.UnmarshalText([]byte(bad)); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", bad, err)
		}
	}
}

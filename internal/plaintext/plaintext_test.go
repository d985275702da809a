package plaintext_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/internal/plaintext"
)

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s             string
		most          int
		cut, withMark string
	}{
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "abc", "abc…"},
		{"aöö", 4, "aö", "aö…"},
		{"aöö", 3, "aö", "aö…"},
		{"öö", 1, "", "…"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80", "\x80\x80\x80\x80\x80…"}, // which is no UTF-8
		{"", 0, "", ""},
	} {
		if got := plaintext.Cut(tt.s, tt.most); got != tt.cut {
			t.Errorf("Cut(%q, %d): got %q, want %q", tt.s, tt.most, got, tt.cut)
		}
		if got := plaintext.Clip(tt.s, tt.most); got != tt.withMark {
			t.Errorf("Clip(%q, %d): got %q, want %q", tt.s, tt.most, got, tt.withMark)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got, want := plaintext.Printable("a\nb\u0085c\u202ed\xffö"), "a b c d\ufffdö"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

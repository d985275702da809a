package csvtext_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/internal/csvtext"
)

func TestHarmless(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "acme": "acme", "a=1": "a=1", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@sum": "'@sum", "\t=1": "'\t=1", "\r=1": "'\r=1", "é": "é",
		"\n=1": "'\n=1", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠a": "'＠a", "\xff=": "\xff=",
	} {
		if got := csvtext.Harmless(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

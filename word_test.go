package tenancy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/artflow-studio/tenancy"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", " - ._'%": "", "acme-corp": "acme corp", "Shop.ACME.example": "acme example shop", "b a b": "a b",
		"GRÖSSE Größe": "größe grösse", "ΟΔΟΣ": "οδοσ", "οδος": "οδοσ", "İK\u212aſ": "ikks", "C++ 5€": "++ 5 c €",
		"a\u0301b": "a\u0301b", "\u0301": "", "می\u200cخواهم": "میخواهم", "🚀go": "go 🚀", "👩\u200d🚀": "👩🚀", "❤\ufe0f": "❤",
	} {
		want := strings.Fields(want)
		slices.Sort(want)
		if got := tenancy.Words(text); !slices.Equal(got, want) {
			t.Errorf("Words(%q): got %q, want %q", text, got, want)
		}
	}
}

func TestWordsOfTenantsAndFilters(t *testing.T) {
	t.Parallel()
	tenant := &tenancy.Tenant{Slug: "acme-1", Name: "東京 Tower", Domains: []string{"acme.example"}}
	if got, want := tenant.Words(), []string{"1", "acme", "example", "tower", "京", "東京"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&tenancy.Filter{Text: "acme Ac to a"}).Words(), []string{"acme", "to"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: words that begin others ask for nothing more", got, want)
	}
	for text, want := range map[string]bool{"": true, "AC": true, "tow ex": true, "ower": false, "acme 2": false, "zz": false} {
		if got := (&tenancy.Filter{Text: text}).MatchesText(tenant); got != want {
			t.Errorf("MatchesText of %q: got %t, want %t", text, got, want)
		}
	}
}

// A text without a word would select everything.
func TestTextWithoutWord(t *testing.T) {
	t.Parallel()
	var problem *tenancy.FilterError
	if _, err := tenancy.ParseFilter(`plan:pro "--" %`); !errors.As(err, &problem) || problem.Offset != 9 {
		t.Errorf("got %v, want an error at byte 9", err)
	}
	if err := (&tenancy.Filter{Text: " % "}).Validate(); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if f, err := tenancy.ParseFilter("acme - %"); err != nil || f.Text != "acme - %" {
		t.Errorf("got %q, %v", f.Text, err)
	}
}

// Whatever the character, words are the same when they are split again.
func TestWordsOfEachCharacter(t *testing.T) {
	t.Parallel()
	for r := range unicode.MaxRune + 1 {
		words := tenancy.Words("$" + string(r) + "0a")
		if again := tenancy.Words(strings.Join(words, " ")); !slices.Equal(again, words) {
			t.Errorf("%U: got %q, then %q", r, words, again)
		}
	}
}

// Words are the same when they are split again, and whoever types a name finds it.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"acme-corp", "Größe İ ΟΔΟΣ", "🚀go ❤\ufe0f", "a\u0301", "\xff", "東京 ก็", "$\u03450"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := tenancy.Words(text)
		if again := tenancy.Words(strings.Join(words, " ")); !slices.Equal(again, words) {
			t.Errorf("%q: got %q, then %q", text, words, again)
		}
		if !(&tenancy.Filter{Text: text}).MatchesText(&tenancy.Tenant{Slug: "x", Name: text}) {
			t.Errorf("%q does not find itself", text)
		}
	})
}

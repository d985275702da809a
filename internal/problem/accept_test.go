package problem

import (
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/media"
)

const (
	chrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		accept []string
		html   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{chrome}, true},
		{[]string{firefox}, true},
		{[]string{"*/*"}, false}, // curl
		{[]string{"text/*"}, false},
		{[]string{"text/html"}, true},
		{[]string{"TEXT/Html ; Level=1"}, true},
		{[]string{"application/xhtml+xml"}, true},
		{[]string{"text/html;charset=utf-8"}, true},
		{[]string{"text/html, */*;q=0.1"}, true},
		{[]string{"application/json, text/plain, */*"}, false}, // scripts in browsers
		{[]string{"application/json"}, false},
		{[]string{"application/problem+json"}, false},
		{[]string{"image/png"}, false},

		{[]string{"text/html, application/json"}, false}, // no preference
		{[]string{"text/html;q=0.9, application/json"}, false},
		{[]string{"text/html, application/json;q=0.9"}, true},
		{[]string{"application/json;q=0.9, text/html"}, true},
		{[]string{"text/html;Q=0.2, application/problem+json;q=0.1"}, true},
		{[]string{"text/html;q=0.2, application/*;q=0.3"}, false},
		{[]string{"application/json, application/*;q=0.1, text/html;q=0.5"}, false},
		{[]string{"text/html;q=0.001"}, true},
		{[]string{"text/html;q=0"}, false},
		{[]string{"text/html;q=0.000, */*"}, false},
		{[]string{"text/html;q=0.1, application/xhtml+xml;q=0.9, application/json;q=0.5"}, true},
		{[]string{"text/html;level=1;q=0.1, application/json;q=0.5"}, false},

		{[]string{"text/html;q=2"}, false},
		{[]string{"text/html;q=-1"}, false},
		{[]string{"text/html;q=NaN"}, false},
		{[]string{"text/html;q=Inf"}, false},
		{[]string{"application/json;q=NaN, text/html;q=NaN, text/html"}, true},
		{[]string{"text/html;q=x"}, false},
		{[]string{"text/html;q="}, false},
		{[]string{"text/html;q"}, false},
		{[]string{"text/html;q=1;q=0"}, false},
		{[]string{"text/html text/html"}, false},
		{[]string{"texthtml", "/", ";", "\x00", "text/"}, false},
		{[]string{`text/html;x="`}, false},
		{[]string{"text/html;q=x, application/xhtml+xml"}, true}, // the rest counts
		{[]string{",,, ,text/html,,"}, true},

		{[]string{"application/json;q=0.5", "text/html"}, true},
		{[]string{"text/html", "application/json"}, false},
		{[]string{"", "\xff", "text/html"}, true},

		{[]string{strings.Repeat("a/b,", 1<<16) + "text/html"}, false},
		{[]string{"text/html" + strings.Repeat(";a=b", 1<<16)}, false},
		{slices.Repeat([]string{"application/json", "text/html"}, 1<<14), false},
		{[]string{strings.Repeat("x", 1<<20)}, false},
	} {
		if got := media.PrefersHTML(tt.accept); got != tt.html {
			t.Errorf("%.200q: got HTML %v, want %v", tt.accept, got, tt.html)
		}
		w := answer(tenancy.ErrNotFound, tt.accept...)
		if got := strings.HasPrefix(w.Header().Get("Content-Type"), "text/html"); got != tt.html || got != strings.HasPrefix(w.Body.String(), "<!doctype html>") {
			t.Errorf("%.200q: got %s and %.20q, want HTML %v", tt.accept, w.Header(), w.Body, tt.html)
		}
	}
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{
		"", "*/*", chrome, firefox, "text/html;q=0.9,application/json", "text/html;q=NaN", `text/html;x="a,b"`, "text/html;q=1;q=0", ",;,/,",
		"application/*;q=0.1,application/xhtml+xml;q=.2", "text/html;q*0*=x;q*1=0.1", "\x00,\xff", "text/html ; q = 0.5", "TEXT/HTML;Q=1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		html := media.PrefersHTML([]string{accept})
		items := strings.Split(accept, ",")
		with := func(more string) bool { return media.PrefersHTML(append(slices.Clone(items), more)) }
		if html && !strings.Contains(strings.ToLower(accept), "html") {
			t.Errorf("%q: got HTML, and nobody named it", accept)
		}
		if with("application/json") {
			t.Errorf("%q and JSON: got HTML, want JSON, which nothing is preferred to", accept)
		}
		if with("text/html;q=0") != html || with("x/y") != html || with("text/html;q=2") != html {
			t.Errorf("%q: got another answer after an item that says nothing", accept)
		}
		if html && !with("text/html") {
			t.Errorf("%q: got JSON once HTML was asked for again", accept)
		}
		// RFC 9110, section 5.3: several lines are one with commas. The order does not count.
		slices.Reverse(items)
		if got := media.PrefersHTML(items); got != html {
			t.Errorf("%q: got HTML %v, and %v in several lines and the reverse order", accept, html, got)
		}
	})
}

package ui

import (
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if encoding != "" {
		r.Header.Set("Accept-Encoding", encoding)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	t.Parallel()
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, h, "/", "")
	text, _ := io.ReadAll(page.Body)
	if page.Code != http.StatusOK || page.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("/: got %d and %q, want 200 and no-cache", page.Code, page.Header().Get("Cache-Control"))
	}
	names := regexp.MustCompile(`(?:src|href)="(assets/[^"]+)"`).FindAllSubmatch(text, -1)
	if len(names) != 2 {
		t.Fatalf("index.html names %d assets, want a script and a style sheet", len(names))
	}
	for _, m := range names {
		plain, packed := get(t, h, "/"+string(m[1]), ""), get(t, h, "/"+string(m[1]), "br, gzip")
		if plain.Code != http.StatusOK || !strings.Contains(plain.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: got %d and %q, want 200 and immutable", m[1], plain.Code, plain.Header().Get("Cache-Control"))
		}
		if packed.Header().Get("Content-Encoding") != "gzip" || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: got encodings %q and %q, want gzip for those who take it alone", m[1], packed.Header().Get("Content-Encoding"), plain.Header().Get("Content-Encoding"))
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := io.ReadAll(plain.Body)
		if got, err := io.ReadAll(z); err != nil || string(got) != string(want) {
			t.Errorf("%s: what is compressed differs: %v", m[1], err)
		}
	}
	for _, path := range []string{"/assets/", "/assets/other.js", "/../ui.go", "/index.html/x"} {
		if got := get(t, h, path, "").Code; got != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, got)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d, want 405", w.Code)
	}
}

// TestSize prints what browsers load, and fails beyond the budget.
func TestSize(t *testing.T) {
	t.Parallel()
	assets, err := load(dist)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, a := range assets {
		total += len(a.plain)
		limit := map[string]int{".js": 64 << 10, ".css": 12 << 10, ".html": 4 << 10, ".svg": 1 << 10}[filepath.Ext(name)]
		t.Logf("%s: %d bytes, %d compressed", name, len(a.plain), len(a.gzip))
		if len(a.gzip) > limit {
			t.Errorf("%s: %d bytes compressed, want at most %d", name, len(a.gzip), limit)
		}
		if strings.Contains(string(a.plain), "sourceMappingURL") {
			t.Errorf("%s names a source map", name)
		}
	}
	if total > 400<<10 {
		t.Errorf("dist: %d bytes, want at most %d", total, 400<<10)
	}
}

// TestBuild makes the page anew and compares bytes.
func TestBuild(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the bundler")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-check")
	cmd.Dir = "build"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTypes makes the types of the API's answers anew from openapi.json and compares them.
func TestTypes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the bundler")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-check", "-types")
	cmd.Dir = "build"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// sources calls fn with each file of the page that is ours.
func sources(t *testing.T, fn func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir("src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			fn(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoInnerHTML keeps texts of tenants and clients from becoming markup, and the page from other origins.
func TestNoInnerHTML(t *testing.T) {
	t.Parallel()
	refused := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML|\beval\(|new Function|https?://`)
	allowed := regexp.MustCompile(`http://www\.w3\.org/`)
	sources(t, func(name, text string) {
		if filepath.Base(name) == "api-types.ts" { // names of problems are addresses; nothing of it is in the bundle
			return
		}
		for i, line := range strings.Split(text, "\n") {
			if refused.MatchString(allowed.ReplaceAllString(line, "")) {
				t.Errorf("%s:%d: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	})
}

// TestContrast computes the contrast of the palette's pairs in use in both themes (WCAG 2.2, 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	css, err := os.ReadFile("src/styles.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root(\[data-theme="dark"\])? \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 2 {
		t.Fatalf("got %d palettes, want 2", len(blocks))
	}
	for _, block := range blocks {
		palette := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(block[2], -1) {
			palette[m[1]] = m[2]
		}
		check := func(front, back string, least float64) {
			t.Helper()
			if got := contrast(t, palette[front], palette[back]); got < least {
				t.Errorf("%s: %s on %s has %.2f:1, want %.1f:1", block[1], front, back, got, least)
			}
		}
		for _, back := range []string{"bg", "surface"} {
			for _, text := range []string{"text", "muted", "accent", "ok", "warn", "bad"} {
				check(text, back, 4.5)
			}
			check("control", back, 3)
		}
		check("bg", "accent", 4.5)
	}
}

// contrast is the ratio of the relative luminances of two colours, as WCAG 2.2 defines it.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatal(fmt.Errorf("colour %q: %w", colour, err))
	}
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

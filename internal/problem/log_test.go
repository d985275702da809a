package problem

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

func TestLogNeverShowsASecret(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/.maintenance/bypass/SECRET", "/t/acme/.maintenance/bypass/SECRET", "/.Maintenance/BYPASS/SECRET", "//.maintenance//bypass//SECRET",
		"/x/../.maintenance/./bypass/SECRET", "/.maintenance/bypassSECRET", "/.maintenance/bypass/SECRET/", "/.maintenance/bypass/SECRET/..", "/.maintenance/x/../bypass/SECRET/..", "/%2emaintenance/bypass/SECRET",
		"/%252emaintenance%2fbypass/SECRET", `/.maintenance\bypass\SECRET`, ".maintenance/bypass/SECRET", "/reset/SECRET", "/Reset//SECRET", "/t/acme/reset/x/SECRET",
		"/.maintenance/bypass/SECRET" + strings.Repeat("x", 1000), "/" + strings.Repeat("x", 1000) + "/.maintenance/bypass/SECRET",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path, RawQuery: "access_token=SECRET&%zz"}
		r.Host = "user:SECRET@example.com"
		var log bytes.Buffer
		Log(slog.New(slog.NewTextHandler(&log, nil)), slog.LevelInfo, r, tenancy.ErrForbidden, "/reset/")
		if strings.Contains(strings.ToUpper(log.String()), "SECRET") || !strings.Contains(log.String(), "status=403") {
			t.Errorf("%q: got the log %s", path, log.String())
		}
	}
}

func TestLogShowsThePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/notes/7": "/notes/7", "/Notes//7": "/Notes//7", "": "", "/.maintenance/bypass": "/.maintenance/bypass",
		"/.maintenance/bypass/x": "/.maintenance/bypass/[redacted]", "/a%20b": "/a%20b",
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "…",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path}
		var log bytes.Buffer
		Log(slog.New(slog.NewJSONHandler(&log, nil)), slog.LevelInfo, r, tenancy.ErrForbidden, "", "/")
		var got struct{ Path string }
		if err := json.Unmarshal(log.Bytes(), &got); err != nil || got.Path != want {
			t.Errorf("%q: got %q, %v, want %q", path, got.Path, err, want)
		}
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		err   error
		least slog.Level
		gone  bool
		want  string
	}{
		{tenancy.ErrNotFound, slog.LevelDebug, false, "level=DEBUG msg=\"request refused\""},
		{tenancy.ErrNotFound, slog.LevelInfo, false, "level=INFO msg=\"request refused\""},
		{sql.ErrNoRows, slog.LevelDebug, false, "level=INFO msg=\"request refused\""},
		{tenancy.ErrUnavailable, slog.LevelDebug, false, "level=ERROR msg=\"request failed\""},
		{context.Canceled, slog.LevelInfo, true, "level=DEBUG msg=\"request refused\""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if tt.gone {
			r = r.WithContext(ended)
		}
		var log bytes.Buffer
		Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), tt.least, r, tt.err)
		if !strings.Contains(log.String(), tt.want) {
			t.Errorf("%v: got %s, want %s", tt.err, log.String(), tt.want)
		}
	}
}

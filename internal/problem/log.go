package problem

import (
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy/internal/hostname"
	"github.com/artflow-studio/tenancy/internal/plaintext"
)

// BypassPath is the path in front of a secret that bypasses maintenance, unless the
// application chooses another.
const BypassPath = "/.maintenance/bypass"

// redacted replaces a text that is not shown.
const redacted = "[redacted]"

// Log logs that a request goes no further because of err: at the level that err has, or
// at least at the given one unless the client went away. It is the only function that
// logs requests.
//
// Nothing of the query is logged. Of a path, what follows [BypassPath] or one of the
// other paths with secrets is not: in any letter case, behind any prefix, encoded or
// with doubled slashes, because what is nearly the secret's path has nearly been
// accepted. The error's own text must not hold more of the request than that.
func Log(logger *slog.Logger, least slog.Level, r *http.Request, err error, secret ...string) {
	p := classify(r, err)
	level, what := p.level, "request refused"
	if p.code != statusClientClosed {
		level = max(level, least)
	}
	if errors.Is(err, sql.ErrNoRows) { // if it was not meant to be an answer, somebody looks for it
		level = max(level, slog.LevelInfo)
	}
	if level >= slog.LevelError {
		what = "request failed"
	}
	logger.LogAttrs(r.Context(), level, what, slog.Any("error", err), slog.Int("status", p.code), slog.String("method", clip(r.Method)),
		slog.String("host", clip(hostname.WithoutUser(r.Host))), slog.String("path", clip(showPath(r.URL.Path, secret))))
}

// showPath returns the path without what follows a path with secrets.
func showPath(p string, secret []string) string {
	plain := strings.ReplaceAll(p, `\`, "/")
	for range 3 { // a proxy may have encoded it once more
		decoded, err := url.PathUnescape(plain)
		if err != nil || decoded == plain {
			break
		}
		plain = decoded
	}
	plain = strings.ToLower(plain)
	segments := slices.DeleteFunc(strings.Split(plain, "/"), func(s string) bool { return s == "" || s == "." })
	for _, form := range []string{"/" + strings.Join(segments, "/"), path.Clean("/" + plain)} {
		for _, prefix := range append([]string{BypassPath}, secret...) {
			prefix = strings.ToLower(strings.TrimRight(prefix, "/"))
			at := strings.Index(form, prefix)
			if prefix == "" || at < 0 {
				continue
			}
			if end := at + len(prefix); end < len(form) {
				return form[:end] + "/" + redacted
			}
			return form
		}
	}
	return p
}

// clip keeps what a client sent from filling the log.
func clip(s string) string { return plaintext.Clip(s, 200) }

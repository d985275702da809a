// Package ui is the console's page: one script, one style sheet and index.html, built from src by "make ui" and
// embedded. It uses the API of package admin and nothing else.
package ui

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy/internal/gzipped"
)

//go:embed all:dist
var dist embed.FS

// asset is one file of the page, as it is and compressed.
type asset struct {
	contentType string
	plain       []byte
	gzip        []byte
	immutable   bool // its name holds a hash of its content
}

// Handler serves the page: index.html at the root, which browsers ask for again each time, and the files that it
// names, which they keep. Any other path is a 404. It works below every prefix that somebody strips before it, and
// its answers are the same for everybody: it asks for no credentials.
func Handler() (http.Handler, error) {
	assets, err := load(dist)
	if err != nil {
		return nil, fmt.Errorf("ui.Handler: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		a, ok := assets[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		a.serve(w, r)
	}), nil
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body := a.plain
	if gzipped.Accepted(r.Header) {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the client has gone
}

// load reads and compresses the files below dist.
func load(files fs.FS) (map[string]*asset, error) {
	assets := map[string]*asset{}
	err := fs.WalkDir(files, "dist", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		packed, err := compress(data)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(file, "dist/")
		assets[name] = &asset{
			contentType: contentType(name),
			plain:       data,
			gzip:        packed,
			immutable:   strings.HasPrefix(name, "assets/"),
		}
		return nil
	})
	if err == nil && assets["index.html"] == nil {
		err = fmt.Errorf("dist holds no index.html: %w", fs.ErrNotExist)
	}
	return assets, err
}

// contentType does not ask the machine's table of types, which may lack them.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

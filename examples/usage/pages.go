package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/middleware"
)

// pages are what tenants are served: one is slow, and one is broken.
func pages(rec *analytics.Recorder, pool *dbpool.Pool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		rec.Note(r.Context(), analytics.Activity{Type: "page", Description: "somebody looked at " + r.URL.Path})
		db, err := pool.DB(r.Context())
		var databases int
		if err == nil {
			err = db.GetContext(r.Context(), &databases, `SELECT COUNT(*) FROM tenancy_marker WHERE 1 < 2 -- literals and comments are in no report`)
		}
		if err != nil {
			middleware.Refuse(w, r, err, nil)
			return
		}
		_, _ = io.WriteString(w, fmt.Sprintf("hello from %d database\n", databases))
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_ = rec.Count(r.Context(), "emails", 1) // the name is one of the options
		_, _ = io.WriteString(w, "at last\n")
	})
	mux.HandleFunc("GET /broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	return mux
}

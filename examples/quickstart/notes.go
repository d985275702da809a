package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/middleware"
)

// maxBody and maxText bound a note, in bytes.
const (
	maxBody = 64 << 10
	maxText = 10_000
)

// note is a row of a tenant's table and its JSON.
type note struct {
	ID        string    `db:"id" json:"id"`
	Text      string    `db:"text" json:"text"`
	Micros    int64     `db:"created_at" json:"-"`
	CreatedAt time.Time `db:"-" json:"created_at"`
}

// notes is the application. Nothing in it names a tenant: the pool takes it
// from the context.
type notes struct {
	pool *dbpool.Pool
}

// create stores a note.
func (n *notes) create(w http.ResponseWriter, r *http.Request) {
	in, err := readNote(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = n.pool.Tx(r.Context(), nil, func(tx *sqlx.Tx) error {
			_, err := tx.NamedExecContext(r.Context(), `INSERT INTO notes (id, text, created_at) VALUES (:id, :text, :created_at)`, in)
			return err
		})
	}
	if err != nil {
		middleware.Refuse(w, r, err, nil)
		return
	}
	answer(w, http.StatusCreated, in)
}

// list answers with the newest hundred notes.
func (n *notes) list(w http.ResponseWriter, r *http.Request) {
	found, err := n.newest(r.Context())
	if err != nil {
		middleware.Refuse(w, r, err, nil)
		return
	}
	answer(w, http.StatusOK, found)
}

func (n *notes) newest(ctx context.Context) ([]note, error) {
	db, err := n.pool.DB(ctx)
	if err != nil {
		return nil, err
	}
	found := []note{}
	err = db.SelectContext(ctx, &found, `SELECT id, text, created_at FROM notes ORDER BY created_at DESC, id DESC LIMIT 100`)
	for i := range found {
		found[i].CreatedAt = time.UnixMicro(found[i].Micros).UTC()
	}
	return found, err
}

// readNote reads {"text": "…"} and nothing else.
func readNote(body io.Reader) (*note, error) {
	var in struct {
		Text string `json:"text"`
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("%w: body: %w", tenancy.ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the note", tenancy.ErrInvalid)
	}
	text := strings.TrimSpace(in.Text)
	if text == "" || len(text) > maxText || strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%w: text of %d bytes, want 1 to %d and no NUL", tenancy.ErrInvalid, len(text), maxText)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &note{ID: string(tenancy.NewID()), Text: text, Micros: now.UnixMicro(), CreatedAt: now}, nil
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

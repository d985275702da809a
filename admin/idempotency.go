package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/request"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// keyLasts is how long the answer to a key is kept.
	keyLasts = 24 * time.Hour
	// keyWork is how long a request's work may take, unless its row says. The request keeps its key for twice that time; then another may take it
	// over, because the instance has died.
	keyWork = time.Minute
	maxKey  = 200
)

// idempotency keeps the answers to requests with an Idempotency-Key, for each operator, encrypted, in SQL. Of requests with one key, on all
// instances, one is carried out.
type idempotency struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
}

// sealed returns the cipher of the answer to a key. Answers may have secrets that are shown once, such as a tenant's API key. What the
// database has, the digest of who asked and the key, does not open them.
func sealed(id, key string) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, []byte(key), []byte(id), "tenancy admin answer", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// kept is the row of a key.
type kept struct {
	Hash   string `db:"request_hash"`
	Status int    `db:"status"` // 0 while the first request runs
	Header string `db:"header"`
	Body   []byte `db:"body"`
}

// once carries the request out unless its key has an answer.
func (k *idempotency) once(c *call, key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("%w: Idempotency-Key of %d bytes, want at most %d", tenancy.ErrInvalid, len(key), maxKey)
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", c.r.Method, c.r.URL.RequestURI())
	sum.Write(body)
	hash := hex.EncodeToString(sum.Sum(nil))
	lasts := cmp.Or(c.row.lasts, keyWork)
	ctx, cancel := context.WithTimeout(c.r.Context(), lasts)
	defer cancel()
	id := tenancy.DigestOf(c.id.Subject() + "\n" + key).String()
	seal, err := sealed(id, key)
	if err != nil {
		return err
	}
	until, err := k.claim(ctx, id, hash, 2*lasts)
	if err != nil {
		return err
	}
	if until == 0 {
		return k.repeat(ctx, c, id, hash, seal)
	}
	rec := &recorder{header: http.Header{}}
	outer := c.w
	request.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.w, c.r = w, r
		err = c.row.handle(c)
	}), rec, c.r, nil)
	c.w = outer
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), lasts)
	defer cancel()
	if err == nil && rec.status < 500 {
		if err := k.keep(after, id, until, rec, seal); err != nil { // the work is done, and this is its only answer
			c.admin.opts.Logger.WarnContext(ctx, "admin: the answer to an Idempotency-Key is not kept: the request is done again if it is sent again", "request_id", tenancy.ActorFrom(ctx).RequestID, "error", err)
		}
	} else { // nothing is kept of what failed: it may be sent again
		k.forget(after, id, until)
	}
	if err != nil {
		return err
	}
	rec.send(outer)
	return nil
}

// claim takes the key for the first request with it, for that time, and returns until when; it returns 0 for others. The time also tells those
// apart who have the key one after another.
func (k *idempotency) claim(ctx context.Context, id, hash string, lasts time.Duration) (until int64, err error) {
	now := time.Now()
	until = now.Add(lasts).UnixMicro()
	_, err = k.exec(ctx, `INSERT INTO tenancy_admin_keys (id, request_hash, status, header, body, running_until, expires_at) VALUES (?, ?, 0, '', ?, ?, ?)`,
		id, hash, []byte{}, until, now.Add(keyLasts).UnixMicro())
	if err == nil {
		return until, nil
	}
	if !sqlkit.IsUnique(err) {
		return 0, unavailable(err)
	}
	// A key whose time is over, or whose instance has died, begins again.
	n, err := k.exec(ctx, `UPDATE tenancy_admin_keys SET request_hash = ?, status = 0, running_until = ?, expires_at = ?
		WHERE id = ? AND (expires_at <= ? OR status = 0 AND running_until <= ? AND request_hash = ?)`,
		hash, until, now.Add(keyLasts).UnixMicro(), id, now.UnixMicro(), now.UnixMicro(), hash)
	if err != nil || n == 0 {
		return 0, unavailable(err)
	}
	return until, nil
}

// repeat answers as the first request with the key was answered.
func (k *idempotency) repeat(ctx context.Context, c *call, id, hash string, seal cipher.AEAD) error {
	var row kept
	err := k.db.GetContext(ctx, &row, k.dialect.Rebind(`SELECT request_hash, status, header, body FROM tenancy_admin_keys WHERE id = ?`), id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: the first request with this key has just failed", tenancy.ErrConflict)
	case err != nil:
		return unavailable(err)
	case row.Hash != hash:
		return problem.New(problem.Mismatch, fmt.Errorf("%w: the Idempotency-Key of another request", tenancy.ErrInvalid))
	case row.Status == 0:
		return fmt.Errorf("%w: the first request with this key is under way", tenancy.ErrConflict)
	}
	rec := &recorder{status: row.Status, header: http.Header{}}
	if err := json.Unmarshal([]byte(row.Header), &rec.header); err != nil {
		return err
	}
	body, err := seal.Open(nil, nil, row.Body, nil)
	if err != nil {
		return fmt.Errorf("the answer kept for an Idempotency-Key cannot be read: %w", err)
	}
	rec.body.Write(body)
	rec.send(c.w)
	return nil
}

// keep keeps the answer, unless another request has taken the key over.
func (k *idempotency) keep(ctx context.Context, id string, until int64, rec *recorder, seal cipher.AEAD) error {
	header, err := json.Marshal(rec.header)
	if err != nil {
		return err
	}
	_, err = k.exec(ctx, `UPDATE tenancy_admin_keys SET status = ?, header = ?, body = ? WHERE id = ? AND status = 0 AND running_until = ?`,
		rec.status, string(header), seal.Seal(nil, nil, rec.body.Bytes(), nil), id, until)
	return unavailable(err)
}

func (k *idempotency) forget(ctx context.Context, id string, until int64) {
	_, _ = k.exec(ctx, `DELETE FROM tenancy_admin_keys WHERE id = ? AND status = 0 AND running_until = ?`, id, until) // otherwise it expires
}

func (k *idempotency) purge(ctx context.Context) error {
	_, err := k.exec(ctx, `DELETE FROM tenancy_admin_keys WHERE expires_at <= ?`, time.Now().UnixMicro())
	return unavailable(err)
}

func (k *idempotency) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := k.db.ExecContext(ctx, k.dialect.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// recorder keeps an answer.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorder) send(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // a client that went away
}

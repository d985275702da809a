package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Checkpoint is a signed statement about the audit up to an entry. Kept where the owner of the database cannot
// reach it, it reveals that the audit was cut or computed anew.
type Checkpoint struct {
	// Trail is the random ID of the audit, made with its tables.
	Trail string `json:"trail"`
	// Number is the number of the last entry, and Hash the hash of all entries up to it.
	Number int64  `json:"number"`
	Hash   string `json:"hash"`
	// Time is when it was made, in UTC, to the microsecond.
	Time time.Time `json:"time"`
	// Signature is the Ed25519 signature of [Checkpoint.Message], in standard base64.
	Signature string `json:"signature"`
}

// Message returns the signed text: five lines, which docs/audit.md specifies.
func (c *Checkpoint) Message() []byte {
	return fmt.Appendf(nil, "tenancy audit checkpoint 1\n%s\n%d\n%s\n%d\n", c.Trail, c.Number, c.Hash, c.Time.UnixMicro())
}

// SignedBy reports whether one of the keys has signed the checkpoint.
func (c *Checkpoint) SignedBy(keys ...ed25519.PublicKey) bool {
	return signedBy(c.Message(), c.Signature, keys)
}

// signedBy reports whether one of the keys has made the signature, which is in base64.
func signedBy(message []byte, signature string, keys []ed25519.PublicKey) bool {
	binary, err := base64.StdEncoding.Strict().DecodeString(signature)
	return err == nil && slices.ContainsFunc(keys, func(key ed25519.PublicKey) bool {
		return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, binary)
	})
}

// checkpointRow is a row of the table of checkpoints.
type checkpointRow struct {
	Number    int64
	Trail     string
	Hash      string
	Time      int64
	Signature string
}

func (r *checkpointRow) checkpoint() Checkpoint {
	return Checkpoint{r.Trail, r.Number, r.Hash, time.UnixMicro(r.Time).UTC(), r.Signature}
}

const selectCheckpoints = `SELECT number, trail, hash, time, signature FROM tenancy_audit_checkpoints WHERE `

// Checkpoint seals what was committed, signs it if there are new entries since the last checkpoint, and passes
// to [Options.Sink] the checkpoints that it does not have yet. Run calls it every [Options.CheckpointEvery].
// Without [Options.Key] the error wraps [tenancy.ErrInvalid].
func (t *Trail) Checkpoint(ctx context.Context) error {
	return wrap("audit.Trail.Checkpoint", t.checkpoint(ctx))
}

func (t *Trail) checkpoint(ctx context.Context) error {
	if t.opts.Key == nil {
		return fmt.Errorf("%w: no key to sign with", tenancy.ErrInvalid)
	}
	if err := t.runOnce(ctx); err != nil {
		return err
	}
	h, err := t.head(ctx, t.db)
	if err != nil {
		return err
	}
	var last int64
	if err := t.db.GetContext(ctx, &last, `SELECT COALESCE(MAX(number), 0) FROM tenancy_audit_checkpoints`); err != nil {
		return err
	}
	if h.Number > last {
		c := Checkpoint{Trail: h.Trail, Number: h.Number, Hash: h.Hash, Time: time.Now().UTC().Truncate(time.Microsecond)}
		c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(t.opts.Key, c.Message()))
		_, err := t.db.ExecContext(ctx, t.dialect.Rebind(
			`INSERT INTO tenancy_audit_checkpoints (number, trail, hash, time, signature, sent) VALUES (?, ?, ?, ?, ?, 0)`),
			c.Number, c.Trail, c.Hash, c.Time.UnixMicro(), c.Signature)
		if err != nil && !sqlkit.IsUnique(err) { // another process was faster
			return err
		}
	}
	return t.send(ctx)
}

// send passes the sink the checkpoints that it does not have, oldest first. It may pass one twice.
func (t *Trail) send(ctx context.Context) error {
	if t.opts.Sink == nil {
		return nil
	}
	var rows []checkpointRow
	if err := t.db.SelectContext(ctx, &rows, selectCheckpoints+`sent = 0 ORDER BY number`); err != nil {
		return err
	}
	for i := range rows {
		if err := t.pass(ctx, rows[i].checkpoint()); err != nil {
			return fmt.Errorf("the sink of checkpoints: %w", err)
		}
		_, err := t.db.ExecContext(ctx, t.dialect.Rebind(`UPDATE tenancy_audit_checkpoints SET sent = 1 WHERE number = ?`), rows[i].Number)
		if err != nil {
			return err
		}
	}
	return nil
}

// sinkTimeout is how long a call of the sink may take.
const sinkTimeout = 30 * time.Second

// pass calls the sink. It does not wait for a call that outlives its context, and begins no other before that one has
// returned.
func (t *Trail) pass(ctx context.Context, c Checkpoint) error {
	called, cancel := context.WithTimeout(ctx, sinkTimeout)
	defer cancel()
	select {
	case t.sinking <- struct{}{}:
	case <-called.Done():
		return cmp.Or(ctx.Err(), fmt.Errorf("%w: an earlier call has not returned", tenancy.ErrUnavailable))
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-t.sinking }()
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("%w: panic: %v", tenancy.ErrUnavailable, p)
			}
		}()
		done <- t.opts.Sink(called, c)
	}()
	var err error
	select {
	case err = <-done:
	case <-called.Done():
		err = called.Err()
	}
	if err != nil && ctx.Err() == nil {
		err = failure.Inner(err)
	}
	return err
}

// Checkpoints returns all checkpoints, in ascending order of number.
func (t *Trail) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	var rows []checkpointRow
	err := t.db.SelectContext(ctx, &rows, selectCheckpoints+`number > 0 ORDER BY number`)
	all := make([]Checkpoint, len(rows))
	for i := range rows {
		all[i] = rows[i].checkpoint()
	}
	return all, wrap("audit.Trail.Checkpoints", err)
}

// witness compares a chain with the checkpoints, as it is read.
type witness struct {
	trail string // empty: that of the checkpoints
	left  []Checkpoint
	seen  time.Time // when the last one was made that is not left
}

// newWitness returns the first fault of the checkpoints themselves. Without keys
// nothing can be said about them, and there are none.
func newWitness(trail string, all []Checkpoint, keys []ed25519.PublicKey) (*witness, *Fault) {
	w := &witness{trail: trail}
	if len(keys) == 0 {
		return w, nil
	}
	for i := range all {
		c := &all[i]
		if !c.SignedBy(keys...) {
			return w, &Fault{FaultCheckpoint, c.Number, "", "the checkpoint is not signed by a known key"}
		}
		if w.trail == "" {
			w.trail = c.Trail
		}
		if c.Trail != w.trail {
			return w, &Fault{FaultCheckpoint, c.Number, "", "the checkpoint is that of another audit"}
		}
	}
	w.left = slices.Clone(all)
	slices.SortStableFunc(w.left, func(a, b Checkpoint) int { return cmp.Compare(a.Number, b.Number) })
	return w, nil
}

// see returns the fault if a checkpoint contradicts the hash of that number.
func (w *witness) see(number int64, hash string) *Fault {
	for len(w.left) > 0 && w.left[0].Number <= number {
		c := w.left[0]
		w.left, w.seen = w.left[1:], c.Time
		if c.Number == number && c.Hash != hash {
			return &Fault{FaultCheckpoint, number, "", "the audit up to this entry is not what was signed"}
		}
	}
	return nil
}

// end returns the fault if a checkpoint is beyond the last entry.
func (w *witness) end(number int64) *Fault {
	if len(w.left) == 0 {
		return nil
	}
	f := missing(number + 1)
	f.Detail = fmt.Sprintf("a checkpoint was signed at entry %d", w.last())
	return f
}

// last returns the number of the last checkpoint, of which one is left.
func (w *witness) last() int64 { return w.left[len(w.left)-1].Number }

// PublicKeys returns the keys that verify [Trail.Checkpoints]: [Options.OldKeys], and last the public key of
// Options.Key.
func (t *Trail) PublicKeys() []ed25519.PublicKey { return t.opts.publicKeys() }

// publicKeys returns the keys that sign, or signed, this trail's checkpoints.
func (o *Options) publicKeys() []ed25519.PublicKey {
	keys := slices.Clone(o.OldKeys)
	if o.Key != nil {
		if key, ok := o.Key.Public().(ed25519.PublicKey); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/artflow-studio/tenancy"
)

// Cost of a password's hash. Source: OWASP, Password Storage Cheat Sheet (Argon2id, 19 MiB, t=2, p=1).
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLen      = 16
	hashLen      = 32

	// Bounds on what a stored hash may ask for, so that a row that somebody wrote cannot exhaust the process.
	maxArgonMemory = 256 * 1024
	maxArgonTime   = 16
)

// hashWait is how long a caller waits for its turn.
const hashWait = 2 * time.Second

// hasher computes Argon2id hashes, few at a time: each needs 19 MiB and a processor.
type hasher struct {
	turns chan struct{}
	known chan struct{} // one turn more, for browsers in which an operator has signed in before
	wait  time.Duration
	dummy string // the hash of a password that nobody has
}

func newHasher(wait time.Duration) *hasher {
	n := min(max(runtime.GOMAXPROCS(0)/2, 1), 4)
	return &hasher{turns: make(chan struct{}, n), known: make(chan struct{}, 1), wait: wait, dummy: encodePHC(argonMemory, argonTime, make([]byte, saltLen), make([]byte, hashLen))}
}

// turn waits for a turn. The error wraps [tenancy.ErrLimited] when none is free in time.
func (h *hasher) turn(ctx context.Context, known bool) (done func(), err error) {
	var own chan struct{} // nil: it is never free
	if known {
		own = h.known
	}
	wait := time.NewTimer(h.wait)
	defer wait.Stop()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case own <- struct{}{}:
		return func() { <-own }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, fmt.Errorf("%w: too many passwords to check at once", tenancy.ErrLimited)
	}
}

// Hash returns the password's hash as a PHC string.
func (h *hasher) Hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx, true)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	return encodePHC(argonMemory, argonTime, salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashLen)), nil
}

// Verify reports whether the hash is the password's, and whether it should be made anew because it is cheaper than today's.
// An empty hash is nobody's, and takes the time of one. Who is known has a turn of their own.
func (h *hasher) Verify(ctx context.Context, hash, password string, known bool) (ok, outdated bool, err error) {
	somebody := hash != ""
	if !somebody {
		hash = h.dummy
	}
	memory, passes, salt, want, err := decodePHC(hash)
	if err != nil {
		return false, false, err
	}
	done, err := h.turn(ctx, known)
	if err != nil {
		return false, false, err
	}
	defer done()
	got := argon2.IDKey([]byte(password), salt, passes, memory, argonThreads, uint32(len(want))) // checked by decodePHC
	ok = subtle.ConstantTimeCompare(got, want) == 1 && somebody
	return ok, memory < argonMemory || passes < argonTime, nil
}

// encodePHC and decodePHC are of the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH.
// Source: https://github.com/P-H-C/phc-string-format.
func encodePHC(memory, passes uint32, salt, hash []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(hash))
}

func decodePHC(text string) (memory, passes uint32, salt, hash []byte, err error) {
	malformed := errors.New("malformed password hash")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return 0, 0, nil, nil, malformed
	}
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil || threads != argonThreads ||
		memory == 0 || memory > maxArgonMemory || passes == 0 || passes > maxArgonTime {
		return 0, 0, nil, nil, malformed
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	hash, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(hash) < 16 || len(hash) > 64 {
		return 0, 0, nil, nil, malformed
	}
	return memory, passes, salt, hash, nil
}

package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// KeyUse is when an API key was used.
type KeyUse struct {
	Tenant tenancy.ID
	Key    string
	At     time.Time
}

// UseStore is the optional ability of a [Store] to keep when API keys were last used. The Store's Delete
// removes the tenant's uses.
type UseStore interface {
	// SaveUses keeps the times, to the microsecond, unless it has later ones. No key is in the list twice.
	// Tenants and keys need not exist.
	SaveUses(ctx context.Context, all []KeyUse) error
	// Uses returns the uses of the tenant's keys, in any order.
	Uses(ctx context.Context, id tenancy.ID) ([]KeyUse, error)
	// ForgetUses removes the uses of those keys.
	ForgetUses(ctx context.Context, id tenancy.ID, keys []string) error
}

// forget removes the uses of keys that are no longer the tenant's. Uses that are saved later are removed with
// the next key, or with the tenant.
func (k *KeyIssuer) forget(ctx context.Context, t *tenancy.Tenant, keys []string) {
	if k.uses == nil || len(keys) == 0 {
		return
	}
	all, err := k.uses.store.Uses(ctx, t.ID)
	for _, each := range all {
		// Younger ones may be of a key that was made since.
		if len(keys) < useBatch && t.Access.Key(each.Key) == nil && time.Since(each.At) > time.Minute {
			keys = append(keys, each.Key)
		}
	}
	if err = errors.Join(err, k.uses.store.ForgetUses(ctx, t.ID, keys)); err != nil {
		k.log.WarnContext(ctx, "catalog: cannot delete the last-used times of removed API keys; they stay in tenancy_key_uses", slog.Any("error", err))
	}
}

// Used notes that a key was used, to the second, until [KeyIssuer.Run] writes it. It does no I/O: call it with
// each request. It notes up to 100,000 keys at a time and drops further ones.
func (k *KeyIssuer) Used(tenant tenancy.ID, key string, at time.Time) {
	if k.uses != nil && !k.uses.again(tenant, key, at.Unix()) {
		k.uses.note(useKey{tenant, key}, at.UnixMicro())
	}
}

// Run writes which keys were used, every [KeyIssuerOptions.Every] and once more when ctx ends; then it returns
// nil. Failed writes are tried again with the next. If the process dies, the uses since the last write are
// lost, so a key may seem to have been last used some seconds earlier. With a store that is no [UseStore], Run
// only waits for the end of ctx.
func (k *KeyIssuer) Run(ctx context.Context) error {
	if k.uses == nil {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(k.uses.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			return wrap("catalog.KeyIssuer.Run", "", k.uses.write(ctx))
		case <-t.C:
		}
		if err := k.uses.write(ctx); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "catalog: cannot write when API keys were last used; trying again", slog.Any("error", err))
		}
	}
}

const (
	// writeTimeout bounds the last writing, when the context has ended.
	writeTimeout = 10 * time.Second

	useShards = 16
	// maxUses is how many keys are noted at a time.
	maxUses = 100_000
	// useBatch is how many uses one statement writes.
	useBatch = 500
)

type useKey struct {
	tenant tenancy.ID
	key    string
}

// uses are the uses that are not written yet.
type uses struct {
	store  UseStore
	every  time.Duration
	seed   maphash.Seed
	marks  [1 << 14]atomic.Uint64 // see again
	shards [useShards]struct {
		mu sync.Mutex // guards at
		at map[useKey]int64
		_  [48]byte // two shards are not in one line of the processor's cache
	}
}

func newUses(store UseStore, every time.Duration) *uses {
	return &uses{store: store, every: every, seed: maphash.MakeSeed()}
}

// again reports whether the key was noted in the same second already, and no other key with the same mark
// since. A busy key costs no more than this.
func (u *uses) again(tenant tenancy.ID, key string, second int64) bool {
	const seconds = 1<<24 - 1 // half a year, after which they are the same again
	h := maphash.String(u.seed, string(tenant)) ^ bits.RotateLeft64(maphash.String(u.seed, key), 32)
	at, mark := &u.marks[h%uint64(len(u.marks))], h&^seconds|uint64(second)&seconds // a part of it
	if at.Load() == mark {
		return true
	}
	at.Store(mark)
	return false
}

// note keeps the time, unless it has a later one.
func (u *uses) note(key useKey, at int64) {
	s := &u.shards[maphash.String(u.seed, key.key)%useShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.at[key]
	switch {
	case ok && old >= at:
	case ok || len(s.at) < maxUses/useShards:
		if s.at == nil {
			s.at = map[useKey]int64{}
		}
		s.at[key] = at
	}
}

// write writes all uses. Those that could not be written are noted again.
func (u *uses) write(ctx context.Context) error {
	var all []KeyUse
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		noted := s.at
		s.at = nil
		s.mu.Unlock()
		for key, at := range noted {
			all = append(all, KeyUse{key.tenant, key.key, time.UnixMicro(at)})
		}
	}
	// In one order, so that the writes of two processes do not wait for each other.
	slices.SortFunc(all, func(a, b KeyUse) int {
		return cmp.Or(strings.Compare(string(a.Tenant), string(b.Tenant)), strings.Compare(a.Key, b.Key))
	})
	for len(all) > 0 {
		n := min(useBatch, len(all))
		if err := u.store.SaveUses(ctx, all[:n]); err != nil {
			for _, each := range all {
				u.note(useKey{each.Tenant, each.Key}, each.At.UnixMicro())
			}
			return fmt.Errorf("uses of %d API keys: %w", len(all), err)
		}
		all = all[n:]
	}
	return nil
}

// read returns when the tenant's keys were used, as far as that is written.
func (u *uses) read(ctx context.Context, id tenancy.ID) (map[string]time.Time, error) {
	all, err := u.store.Uses(ctx, id)
	out := make(map[string]time.Time, len(all))
	for _, each := range all {
		out[each.Key] = each.At
	}
	return out, err
}

// SaveUses writes one statement.
func (s *sqlStore) SaveUses(ctx context.Context, all []KeyUse) error {
	if len(all) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(all))
	for _, each := range all {
		args = append(args, each.Tenant, each.Key, each.At.UnixMicro())
	}
	values := strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(all)), ", ")
	later := map[sqlkit.Dialect]string{
		sqlkit.Postgres: `ON CONFLICT (tenant_id, key_id) DO UPDATE SET used_at = GREATEST(tenancy_key_uses.used_at, excluded.used_at)`,
		sqlkit.SQLite:   `ON CONFLICT (tenant_id, key_id) DO UPDATE SET used_at = MAX(used_at, excluded.used_at)`,
		sqlkit.MySQL:    `ON DUPLICATE KEY UPDATE used_at = GREATEST(used_at, VALUES(used_at))`,
	}[s.dialect]
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO tenancy_key_uses (tenant_id, key_id, used_at) VALUES `+values+` `+later), args...)
		return err
	})
}

// Uses reads what is kept of the tenant.
func (s *sqlStore) Uses(ctx context.Context, id tenancy.ID) ([]KeyUse, error) {
	var rows []struct {
		Key string `db:"key_id"`
		At  int64  `db:"used_at"`
	}
	err := s.db.SelectContext(ctx, &rows, s.dialect.Rebind(`SELECT key_id, used_at FROM tenancy_key_uses WHERE tenant_id = ?`), id)
	all := make([]KeyUse, len(rows))
	for i, row := range rows {
		all[i] = KeyUse{id, row.Key, time.UnixMicro(row.At).UTC()}
	}
	return all, err
}

// ForgetUses removes rows.
func (s *sqlStore) ForgetUses(ctx context.Context, id tenancy.ID, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	query, args, err := sqlx.In(`DELETE FROM tenancy_key_uses WHERE tenant_id = ? AND key_id IN (?)`, id, keys)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(query), args...)
		return err
	})
}

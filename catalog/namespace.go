package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// NamespaceStore is the optional ability of a [Store] to keep the catalog's namespace.
type NamespaceStore interface {
	// Namespace returns the kept name. If there is none, it keeps the given name and returns it; concurrent
	// callers all get the same.
	Namespace(ctx context.Context, otherwise string) (string, error)
	// SetNamespace replaces the kept name.
	SetNamespace(ctx context.Context, name string) error
}

// Namespace returns the identity of the catalog. It keeps services that share a Redis apart: every constructor
// of this module with a Redis client needs it. The first call makes the identity and keeps it in the catalog's
// tables; all instances of the service get the same one. Call Namespace at start, after [Catalog.Migrate], and
// log it.
//
// A copy of the catalog's database, such as a staging environment made from a backup of production, has the
// namespace of its original, and would read and change the original's keys in Redis. Call
// [Catalog.RenewNamespace] before anything else uses the copy.
//
// A store without the ability [NamespaceStore] is an error that wraps [tenancy.ErrInvalid].
func (c *Catalog) Namespace(ctx context.Context) (string, error) {
	const op = "catalog.Catalog.Namespace"
	s, ok := c.store.(NamespaceStore)
	if !ok {
		return "", wrap(op, "", errNoNamespaces())
	}
	name, err := s.Namespace(ctx, newNamespace())
	if err != nil {
		return "", wrap(op, "", err)
	}
	return name, nil
}

// RenewNamespace gives the catalog a new identity and returns it. Call it for a copy of a catalog, before the
// service that uses the copy starts: running instances keep the old identity. The entry
// "catalog.renew_namespace" of [Options.Audit] is written before; [Options.RequireActor] holds.
func (c *Catalog) RenewNamespace(ctx context.Context) (string, error) {
	const op = "catalog.Catalog.RenewNamespace"
	s, ok := c.store.(NamespaceStore)
	if !ok {
		return "", wrap(op, "", errNoNamespaces())
	}
	if err := c.permit(ctx); err != nil {
		return "", wrap(op, "", err)
	}
	name := newNamespace()
	w := audited.Work{Audit: c.auditor, Action: "catalog.renew_namespace", Object: name}
	if err := w.Do(ctx, func() error { return s.SetNamespace(ctx, name) }); err != nil {
		return "", wrap(op, "", err)
	}
	return name, nil
}

// newNamespace returns a name of 130 random bits.
func newNamespace() string { return strings.ToLower(rand.Text()) }

func errNoNamespaces() error {
	return fmt.Errorf("%w: the store keeps no namespace; use one that is a NamespaceStore, or a name of your own", tenancy.ErrInvalid)
}

// Namespace implements [NamespaceStore].
func (s *sqlStore) Namespace(ctx context.Context, otherwise string) (string, error) {
	name, err := s.namespace(ctx)
	if !errors.Is(err, sql.ErrNoRows) {
		return name, err
	}
	if err := s.insertNamespace(ctx, otherwise); err != nil && !sqlkit.IsUnique(err) {
		return "", err
	}
	return s.namespace(ctx)
}

// SetNamespace implements [NamespaceStore].
func (s *sqlStore) SetNamespace(ctx context.Context, name string) error {
	if _, err := s.Namespace(ctx, name); err != nil {
		return err
	}
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_namespace SET namespace = ? WHERE id = 1`), name)
		return err
	})
}

func (s *sqlStore) namespace(ctx context.Context) (name string, err error) {
	err = s.db.GetContext(ctx, &name, `SELECT namespace FROM tenancy_namespace WHERE id = 1`)
	return name, err
}

func (s *sqlStore) insertNamespace(ctx context.Context, name string) error {
	return s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(`INSERT INTO tenancy_namespace (id, namespace) VALUES (1, ?)`), name)
		return err
	})
}

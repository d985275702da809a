package catalog

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// fillBatch is how many records fillWords brings up to date in one transaction.
const fillBatch = 200

// fillWords writes the words of the records that do not have those of their version: those
// from before there was a table of words, and those that an instance of the older version
// has written since. Many processes may call it at once.
func (s *sqlStore) fillWords(ctx context.Context) error {
	for {
		var ids []tenancy.ID
		err := s.db.SelectContext(ctx, &ids, s.dialect.Rebind(
			`SELECT id FROM tenancy_tenants WHERE words_version <> version ORDER BY id LIMIT ?`), fillBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.writeWords(ctx, tx, ids) }); err != nil {
			return err
		}
	}
}

// writeWords locks the records, so that nobody changes them meanwhile, and writes their
// words anew.
func (s *sqlStore) writeWords(ctx context.Context, tx *sqlx.Tx, ids []tenancy.ID) error {
	for _, query := range []string{
		`UPDATE tenancy_tenants SET words_version = version WHERE id IN (?)`,
		`DELETE FROM tenancy_words WHERE tenant_id IN (?)`,
	} {
		query, args, err := sqlx.In(query, ids)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(query), args...); err != nil {
			return err
		}
	}
	query, args, err := sqlx.In(withDomains(`id`, `SELECT `+columns+` FROM tenancy_tenants WHERE id IN (?)`), ids)
	if err != nil {
		return err
	}
	found, err := tx.QueryContext(ctx, s.dialect.Rebind(query), args...)
	if err != nil {
		return err
	}
	tenants, err := readTenants(found)
	if err != nil {
		return err
	}
	var rows []any
	for _, t := range tenants {
		for _, word := range t.Words() {
			rows = append(rows, word, t.ID)
		}
	}
	return s.insertPairs(ctx, tx, `tenancy_words (word, tenant_id)`, rows)
}

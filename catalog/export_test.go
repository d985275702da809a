package catalog

import "github.com/jmoiron/sqlx"

// NewFew returns the catalog whose listings take up to so many tenants for few.
func NewFew(db *sqlx.DB, few int) (*Catalog, error) {
	store, err := newSQLStore(db)
	if err != nil {
		return nil, err
	}
	store.few = few
	return NewWithStore(store, nil)
}

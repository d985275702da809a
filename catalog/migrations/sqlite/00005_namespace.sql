-- +goose Up
-- The catalog's identity, in one row.
CREATE TABLE tenancy_namespace (
    id        INTEGER NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL
);

-- +goose Down
DROP TABLE tenancy_namespace;

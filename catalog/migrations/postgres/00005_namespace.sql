-- +goose Up
-- The catalog's identity, in one row.
CREATE TABLE tenancy_namespace (
    id        SMALLINT NOT NULL PRIMARY KEY,
    namespace VARCHAR(64) COLLATE "C" NOT NULL
);

-- +goose Down
DROP TABLE tenancy_namespace;

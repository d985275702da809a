-- +goose Up
-- Names of tenants that were purged, which no other tenant may have yet.
CREATE TABLE tenancy_reserved_names (
    kind           TEXT NOT NULL, -- slug or domain
    name           TEXT NOT NULL,
    tenant_id      TEXT NOT NULL, -- whose it was
    reserved_until INTEGER NOT NULL, -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE tenancy_reserved_names;

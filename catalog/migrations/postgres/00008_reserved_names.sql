-- +goose Up
-- Names of tenants that were purged, which no other tenant may have yet.
CREATE TABLE tenancy_reserved_names (
    kind           VARCHAR(8) COLLATE "C" NOT NULL, -- slug or domain
    name           VARCHAR(253) COLLATE "C" NOT NULL,
    tenant_id      VARCHAR(36) COLLATE "C" NOT NULL, -- whose it was
    reserved_until BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (kind, name)
);

-- +goose Down
DROP TABLE tenancy_reserved_names;

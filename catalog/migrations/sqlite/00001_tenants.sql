-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_tenants (
    id            TEXT NOT NULL PRIMARY KEY,
    slug          TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL,
    server        TEXT NOT NULL,
    database_name TEXT NOT NULL,
    plan          TEXT NOT NULL,
    limits        TEXT NOT NULL, -- JSON object, or empty
    settings      TEXT NOT NULL, -- JSON object, or empty
    search_text   TEXT NOT NULL, -- slug, name and domains in lower case
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
);

CREATE TABLE tenancy_domains (
    domain    TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
);

CREATE INDEX tenancy_domains_tenant ON tenancy_domains (tenant_id);

-- +goose Down
DROP TABLE tenancy_domains;
DROP TABLE tenancy_tenants;

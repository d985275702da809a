-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_tenants (
    id            VARCHAR(36) COLLATE "C" NOT NULL PRIMARY KEY,
    slug          VARCHAR(63) COLLATE "C" NOT NULL UNIQUE,
    name          VARCHAR(200) NOT NULL,
    status        VARCHAR(16) COLLATE "C" NOT NULL,
    server        VARCHAR(64) NOT NULL,
    database_name VARCHAR(63) COLLATE "C" NOT NULL,
    plan          VARCHAR(64) NOT NULL,
    limits        TEXT NOT NULL, -- JSON object, or empty
    settings      TEXT NOT NULL, -- JSON object, or empty
    search_text   TEXT NOT NULL, -- slug, name and domains in lower case
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE tenancy_domains (
    domain    VARCHAR(253) COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(36) COLLATE "C" NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
);

CREATE INDEX tenancy_domains_tenant ON tenancy_domains (tenant_id);

-- +goose Down
DROP TABLE tenancy_domains;
DROP TABLE tenancy_tenants;

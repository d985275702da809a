-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN tags TEXT COLLATE "C" NOT NULL DEFAULT ''; -- separated by spaces

-- The same tags, for finding tenants by them.
CREATE TABLE tenancy_tags (
    tag       VARCHAR(63) COLLATE "C" NOT NULL,
    tenant_id VARCHAR(36) COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
);

CREATE INDEX tenancy_tags_tenant ON tenancy_tags (tenant_id);

-- +goose Down
DROP TABLE tenancy_tags;
ALTER TABLE tenancy_tenants DROP COLUMN tags;

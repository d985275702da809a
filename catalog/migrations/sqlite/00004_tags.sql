-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN tags TEXT NOT NULL DEFAULT ''; -- separated by spaces

-- The same tags, for finding tenants by them.
CREATE TABLE tenancy_tags (
    tag       TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (tag, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
) WITHOUT ROWID;

CREATE INDEX tenancy_tags_tenant ON tenancy_tags (tenant_id);

-- +goose Down
DROP TABLE tenancy_tags;
ALTER TABLE tenancy_tenants DROP COLUMN tags;

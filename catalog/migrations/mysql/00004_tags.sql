-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN tags TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT (''); -- separated by spaces

-- The same tags, for finding tenants by them.
CREATE TABLE tenancy_tags (
    tag       VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (tag, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
) ENGINE = InnoDB;

CREATE INDEX tenancy_tags_tenant ON tenancy_tags (tenant_id);

-- +goose Down
DROP TABLE tenancy_tags;
ALTER TABLE tenancy_tenants DROP COLUMN tags;

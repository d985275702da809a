-- +goose Up
-- The words of slug, name and domains, for finding tenants by how these begin. Migrate fills it
-- for records that are there, and for those that an older version of the library writes.
CREATE TABLE tenancy_words (
    word      TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (word, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
) WITHOUT ROWID;

CREATE INDEX tenancy_words_tenant ON tenancy_words (tenant_id, word);

ALTER TABLE tenancy_tenants ADD COLUMN words_version INTEGER NOT NULL DEFAULT 0; -- of the record, when its words were written

CREATE INDEX tenancy_tenants_status ON tenancy_tenants (status, id);

-- +goose Down
DROP INDEX tenancy_tenants_status;
ALTER TABLE tenancy_tenants DROP COLUMN words_version;
DROP TABLE tenancy_words;

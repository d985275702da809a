-- +goose Up
-- A tenant's words go with its record: an older version of the library, which does not know of words, deletes the record alone.
-- The server chose the foreign key's name, so the table is made anew, and Migrate fills it again.
DROP TABLE IF EXISTS tenancy_words_new, tenancy_words_old;
CREATE TABLE tenancy_words_new (
    word      VARCHAR(253) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    tenant_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (word, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id) ON DELETE CASCADE
) ENGINE = InnoDB;
CREATE INDEX tenancy_words_tenant ON tenancy_words_new (tenant_id, word);
RENAME TABLE tenancy_words TO tenancy_words_old, tenancy_words_new TO tenancy_words;
UPDATE tenancy_tenants SET words_version = 0;
DROP TABLE tenancy_words_old;

-- +goose Down
DROP TABLE IF EXISTS tenancy_words_new, tenancy_words_old;
CREATE TABLE tenancy_words_new (
    word      VARCHAR(253) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    tenant_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (word, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
) ENGINE = InnoDB;
CREATE INDEX tenancy_words_tenant ON tenancy_words_new (tenant_id, word);
RENAME TABLE tenancy_words TO tenancy_words_old, tenancy_words_new TO tenancy_words;
UPDATE tenancy_tenants SET words_version = 0;
DROP TABLE tenancy_words_old;

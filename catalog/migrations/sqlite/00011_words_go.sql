-- +goose Up
-- A tenant's words go with its record: an older version of the library, which does not know of words, deletes the record alone.
CREATE TABLE tenancy_words_new (
    word      TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (word, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO tenancy_words_new SELECT * FROM tenancy_words;
DROP TABLE tenancy_words;
ALTER TABLE tenancy_words_new RENAME TO tenancy_words;
CREATE INDEX tenancy_words_tenant ON tenancy_words (tenant_id, word);

-- +goose Down
CREATE TABLE tenancy_words_new (
    word      TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (word, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id)
) WITHOUT ROWID;
INSERT INTO tenancy_words_new SELECT * FROM tenancy_words;
DROP TABLE tenancy_words;
ALTER TABLE tenancy_words_new RENAME TO tenancy_words;
CREATE INDEX tenancy_words_tenant ON tenancy_words (tenant_id, word);

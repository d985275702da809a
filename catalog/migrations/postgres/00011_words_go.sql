-- +goose Up
-- A tenant's words go with its record: an older version of the library, which does not know of words, deletes the record alone.
ALTER TABLE tenancy_words DROP CONSTRAINT tenancy_words_tenant_id_fkey;
ALTER TABLE tenancy_words ADD FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id) ON DELETE CASCADE;

-- +goose Down
ALTER TABLE tenancy_words DROP CONSTRAINT tenancy_words_tenant_id_fkey;
ALTER TABLE tenancy_words ADD FOREIGN KEY (tenant_id) REFERENCES tenancy_tenants (id);

-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN schema_version INTEGER NOT NULL DEFAULT 0; -- of the tenant's database; 0: never migrated
CREATE INDEX tenancy_tenants_schema ON tenancy_tenants (schema_version);

-- +goose Down
DROP INDEX tenancy_tenants_schema;
ALTER TABLE tenancy_tenants DROP COLUMN schema_version;

-- +goose Up
ALTER TABLE tenancy_usage_tenants ADD COLUMN schema_version BIGINT NOT NULL DEFAULT 0; -- of the tenant's record

-- +goose Down
ALTER TABLE tenancy_usage_tenants DROP COLUMN schema_version;

-- +goose Up
ALTER TABLE tenancy_usage_instances ADD COLUMN memory TEXT; -- JSON: bytes by kind

-- +goose Down
ALTER TABLE tenancy_usage_instances DROP COLUMN memory;

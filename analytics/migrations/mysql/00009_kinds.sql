-- +goose Up
ALTER TABLE tenancy_usage_instances ADD COLUMN memory TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; -- JSON: bytes by kind

-- +goose Down
ALTER TABLE tenancy_usage_instances DROP COLUMN memory;

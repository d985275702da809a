-- +goose Up
ALTER TABLE tenancy_usage_tenants ADD COLUMN size_tried_at BIGINT; -- when storage was measured, or could not be

-- +goose Down
ALTER TABLE tenancy_usage_tenants DROP COLUMN size_tried_at;

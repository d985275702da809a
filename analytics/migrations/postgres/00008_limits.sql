-- +goose Up
-- Which limit of the tenant is reached first, by the forecast that begins with that day.
ALTER TABLE tenancy_usage_tenants ADD COLUMN forecast_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenancy_usage_tenants ADD COLUMN limit_figure VARCHAR(40);
ALTER TABLE tenancy_usage_tenants ADD COLUMN limit_value BIGINT;
ALTER TABLE tenancy_usage_tenants ADD COLUMN limit_earliest BIGINT;
ALTER TABLE tenancy_usage_tenants ADD COLUMN limit_latest BIGINT; -- 0: it may also not be reached

-- +goose Down
ALTER TABLE tenancy_usage_tenants DROP COLUMN limit_latest;
ALTER TABLE tenancy_usage_tenants DROP COLUMN limit_earliest;
ALTER TABLE tenancy_usage_tenants DROP COLUMN limit_value;
ALTER TABLE tenancy_usage_tenants DROP COLUMN limit_figure;
ALTER TABLE tenancy_usage_tenants DROP COLUMN forecast_at;

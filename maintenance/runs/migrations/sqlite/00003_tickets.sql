-- +goose Up
-- The fence with which a tenant was claimed for an executor.
ALTER TABLE tenancy_run_tenants ADD COLUMN ticket BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE tenancy_run_tenants DROP COLUMN ticket;

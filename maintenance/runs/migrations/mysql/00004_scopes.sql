-- +goose Up
-- The scope of who planned a run, as JSON; NULL: all tenants. The tags of a run's tenants are those that were last seen by somebody with a scope of tags.
ALTER TABLE tenancy_runs ADD COLUMN scope MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
ALTER TABLE tenancy_runs DROP COLUMN scope;

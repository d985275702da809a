-- +goose Up
-- The scope of who planned a run, as JSON; NULL: all tenants. The tags of a run's tenants are those that were last seen by somebody with a scope of tags.
ALTER TABLE tenancy_runs ADD COLUMN scope TEXT;

-- +goose Down
ALTER TABLE tenancy_runs DROP COLUMN scope;

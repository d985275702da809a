-- +goose Up
-- For listings: an index for each order, and for each condition that few tenants meet.
CREATE INDEX tenancy_tenants_name ON tenancy_tenants (name COLLATE "C", id);
CREATE INDEX tenancy_tenants_created ON tenancy_tenants (created_at, id);
CREATE INDEX tenancy_tenants_updated ON tenancy_tenants (updated_at, id);
CREATE INDEX tenancy_tenants_plan ON tenancy_tenants (plan, id);
CREATE INDEX tenancy_tenants_server ON tenancy_tenants (server, id);

-- +goose Down
DROP INDEX tenancy_tenants_server;
DROP INDEX tenancy_tenants_plan;
DROP INDEX tenancy_tenants_updated;
DROP INDEX tenancy_tenants_created;
DROP INDEX tenancy_tenants_name;

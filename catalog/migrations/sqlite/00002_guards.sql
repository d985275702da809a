-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN guards TEXT NOT NULL DEFAULT ''; -- JSON object, or empty

-- +goose Down
ALTER TABLE tenancy_tenants DROP COLUMN guards;

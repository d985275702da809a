-- +goose Up
ALTER TABLE tenancy_tenants ADD COLUMN guards MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''); -- JSON object, or empty

-- +goose Down
ALTER TABLE tenancy_tenants DROP COLUMN guards;

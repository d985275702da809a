-- +goose Up
-- Up to when there are sums of whole months, and up to when activities have networks instead of addresses.
INSERT INTO tenancy_usage_state (name, value) VALUES ('months', 0), ('addresses', 0);

-- +goose Down
DELETE FROM tenancy_usage_sums WHERE span = 'month';

DELETE FROM tenancy_usage_state WHERE name IN ('months', 'addresses');

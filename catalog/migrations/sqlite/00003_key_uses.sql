-- +goose Up
CREATE TABLE tenancy_key_uses (
    tenant_id TEXT NOT NULL,
    key_id    TEXT NOT NULL,
    used_at   INTEGER NOT NULL, -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (tenant_id, key_id)
);

-- +goose Down
DROP TABLE tenancy_key_uses;

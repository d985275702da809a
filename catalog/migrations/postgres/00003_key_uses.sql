-- +goose Up
CREATE TABLE tenancy_key_uses (
    tenant_id VARCHAR(36) COLLATE "C" NOT NULL,
    key_id    VARCHAR(64) COLLATE "C" NOT NULL,
    used_at   BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (tenant_id, key_id)
);

-- +goose Down
DROP TABLE tenancy_key_uses;

-- +goose Up
CREATE TABLE tenancy_key_uses (
    tenant_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    key_id    VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    used_at   BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    PRIMARY KEY (tenant_id, key_id)
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_key_uses;

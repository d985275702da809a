-- +goose Up
CREATE TABLE tenancy_usage_patterns (
    bucket     BIGINT NOT NULL, -- a minute, from which on the row counts until the end of the hour at most
    tenant_key BIGINT NOT NULL,
    source     BIGINT NOT NULL,
    pattern    VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    revision   BIGINT NOT NULL,
    requests   BIGINT NOT NULL,
    errors     BIGINT NOT NULL,
    latency    VARBINARY(2000),
    PRIMARY KEY (tenant_key, bucket, source, pattern)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_patterns_bucket ON tenancy_usage_patterns (bucket);

-- +goose Down
DROP TABLE tenancy_usage_patterns;

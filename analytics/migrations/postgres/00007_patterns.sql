-- +goose Up
CREATE TABLE tenancy_usage_patterns (
    bucket     BIGINT NOT NULL, -- a minute, from which on the row counts until the end of the hour at most
    tenant_key BIGINT NOT NULL,
    source     BIGINT NOT NULL,
    pattern    VARCHAR(200) COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL,
    requests   BIGINT NOT NULL,
    errors     BIGINT NOT NULL,
    latency    BYTEA,
    PRIMARY KEY (tenant_key, bucket, source, pattern)
);

CREATE INDEX tenancy_usage_patterns_bucket ON tenancy_usage_patterns (bucket);

-- +goose Down
DROP TABLE tenancy_usage_patterns;

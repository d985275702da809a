-- +goose Up
CREATE TABLE tenancy_usage_patterns (
    bucket     INTEGER NOT NULL, -- a minute, from which on the row counts until the end of the hour at most
    tenant_key INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    pattern    TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    errors     INTEGER NOT NULL,
    latency    BLOB,
    PRIMARY KEY (tenant_key, bucket, source, pattern)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_patterns_bucket ON tenancy_usage_patterns (bucket);

-- +goose Down
DROP TABLE tenancy_usage_patterns;

-- +goose Up
-- The slowest statements of a tenant, instance and hour, and of a tenant and day.
CREATE TABLE tenancy_usage_statements (
    tenant_key  BIGINT NOT NULL,
    bucket      BIGINT NOT NULL, -- a minute, from which on the row counts until the end of the hour at most
    source      BIGINT NOT NULL,
    fingerprint BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    errors      BIGINT NOT NULL,
    total_time  BIGINT NOT NULL, -- microseconds, as the next
    longest     BIGINT NOT NULL,
    PRIMARY KEY (tenant_key, bucket, source, fingerprint)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_statements_bucket ON tenancy_usage_statements (bucket);

CREATE TABLE tenancy_usage_statements_1d (
    tenant_key  BIGINT NOT NULL,
    bucket      BIGINT NOT NULL, -- the begin of the day
    fingerprint BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    errors      BIGINT NOT NULL,
    total_time  BIGINT NOT NULL, -- microseconds, as the next
    longest     BIGINT NOT NULL,
    PRIMARY KEY (tenant_key, bucket, fingerprint)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_statements_1d_bucket ON tenancy_usage_statements_1d (bucket);

CREATE TABLE tenancy_usage_texts (
    fingerprint BIGINT NOT NULL PRIMARY KEY,
    text        VARCHAR(1000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- without literals
    seen_at     BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_texts_seen ON tenancy_usage_texts (seen_at);

-- Up to which day statements were rolled up.
INSERT INTO tenancy_usage_state (name, value) VALUES ('statements', 0);

-- +goose Down
DELETE FROM tenancy_usage_state WHERE name = 'statements';

DROP TABLE tenancy_usage_texts;
DROP TABLE tenancy_usage_statements_1d;
DROP TABLE tenancy_usage_statements;

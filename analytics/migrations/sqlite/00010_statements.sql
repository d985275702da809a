-- +goose Up
-- The slowest statements of a tenant, instance and hour, and of a tenant and day.
CREATE TABLE tenancy_usage_statements (
    tenant_key  INTEGER NOT NULL,
    bucket      INTEGER NOT NULL, -- a minute, from which on the row counts until the end of the hour at most
    source      INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    calls       INTEGER NOT NULL,
    errors      INTEGER NOT NULL,
    total_time  INTEGER NOT NULL, -- microseconds, as the next
    longest     INTEGER NOT NULL,
    PRIMARY KEY (tenant_key, bucket, source, fingerprint)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_statements_bucket ON tenancy_usage_statements (bucket);

CREATE TABLE tenancy_usage_statements_1d (
    tenant_key  INTEGER NOT NULL,
    bucket      INTEGER NOT NULL, -- the begin of the day
    fingerprint INTEGER NOT NULL,
    calls       INTEGER NOT NULL,
    errors      INTEGER NOT NULL,
    total_time  INTEGER NOT NULL, -- microseconds, as the next
    longest     INTEGER NOT NULL,
    PRIMARY KEY (tenant_key, bucket, fingerprint)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_statements_1d_bucket ON tenancy_usage_statements_1d (bucket);

CREATE TABLE tenancy_usage_texts (
    fingerprint INTEGER NOT NULL PRIMARY KEY,
    text        TEXT NOT NULL, -- without literals
    seen_at     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_texts_seen ON tenancy_usage_texts (seen_at);

-- Up to which day statements were rolled up.
INSERT INTO tenancy_usage_state (name, value) VALUES ('statements', 0);

-- +goose Down
DELETE FROM tenancy_usage_state WHERE name = 'statements';

DROP TABLE tenancy_usage_texts;
DROP TABLE tenancy_usage_statements_1d;
DROP TABLE tenancy_usage_statements;

-- +goose Up
-- Sums of each tenant over the spans that reports ask for most: the rows of one span and bucket belong together.
CREATE TABLE tenancy_usage_sums (
    span             TEXT NOT NULL, -- such as 24h
    bucket           INTEGER NOT NULL, -- the end of the period
    tenant_key       INTEGER NOT NULL,
    requests         INTEGER,
    status_1xx       INTEGER,
    status_2xx       INTEGER,
    status_3xx       INTEGER,
    status_4xx       INTEGER,
    status_5xx       INTEGER,
    limited          INTEGER,
    maintenance      INTEGER,
    unavailable      INTEGER,
    cancelled        INTEGER,
    panicked         INTEGER,
    slow             INTEGER,
    latency_time     INTEGER,
    bytes_in         INTEGER,
    bytes_out        INTEGER,
    in_flight        INTEGER,
    statements       INTEGER,
    statement_errors INTEGER,
    statement_time   INTEGER,
    waits            INTEGER,
    waits_failed     INTEGER,
    wait_time        INTEGER,
    connection_time  INTEGER,
    cpu_time         INTEGER,
    jobs             INTEGER,
    job_errors       INTEGER,
    memory_bytes     INTEGER,
    last_seen        INTEGER,
    latency          BLOB,
    own              TEXT,
    PRIMARY KEY (span, bucket, tenant_key)
) WITHOUT ROWID;

-- What all tenants did together, in the steps of the tables of minutes, hours and days.
CREATE TABLE tenancy_usage_fleet (
    step             INTEGER NOT NULL, -- microseconds
    bucket           INTEGER NOT NULL,
    tenants          INTEGER NOT NULL, -- how many did something
    requests         INTEGER,
    status_1xx       INTEGER,
    status_2xx       INTEGER,
    status_3xx       INTEGER,
    status_4xx       INTEGER,
    status_5xx       INTEGER,
    limited          INTEGER,
    maintenance      INTEGER,
    unavailable      INTEGER,
    cancelled        INTEGER,
    panicked         INTEGER,
    slow             INTEGER,
    latency_time     INTEGER,
    bytes_in         INTEGER,
    bytes_out        INTEGER,
    in_flight        INTEGER,
    statements       INTEGER,
    statement_errors INTEGER,
    statement_time   INTEGER,
    waits            INTEGER,
    waits_failed     INTEGER,
    wait_time        INTEGER,
    connection_time  INTEGER,
    cpu_time         INTEGER,
    jobs             INTEGER,
    job_errors       INTEGER,
    memory_bytes     INTEGER,
    last_seen        INTEGER,
    latency          BLOB,
    own              TEXT,
    PRIMARY KEY (step, bucket)
) WITHOUT ROWID;

-- How each figure of an hour is spread over the tenants that did something in it.
CREATE TABLE tenancy_usage_spread (
    bucket  INTEGER NOT NULL,
    measure TEXT NOT NULL,
    tenants INTEGER NOT NULL,
    median  REAL NOT NULL,
    p90     REAL NOT NULL,
    p99     REAL NOT NULL,
    PRIMARY KEY (bucket, measure)
) WITHOUT ROWID;

-- What was rolled up before has no row of all tenants.
INSERT INTO tenancy_usage_state (name, value) SELECT 'fleet', value FROM tenancy_usage_state WHERE name = 'minutes';

INSERT INTO tenancy_usage_state (name, value) VALUES ('tenants', 0), ('reopened', 0), ('sums_seen', 0),
    ('sums_1h', 0), ('sums_24h', 0), ('sums_7d', 0), ('sums_30d', 0), ('sums_90d', 0);

-- +goose Down
DELETE FROM tenancy_usage_state WHERE name LIKE 'sums%' OR name IN ('fleet', 'tenants', 'reopened');

DROP TABLE tenancy_usage_spread;
DROP TABLE tenancy_usage_fleet;
DROP TABLE tenancy_usage_sums;

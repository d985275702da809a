-- +goose Up
-- Sums of each tenant over the spans that reports ask for most: the rows of one span and bucket belong together.
CREATE TABLE tenancy_usage_sums (
    span             VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- such as 24h
    bucket           BIGINT NOT NULL, -- the end of the period
    tenant_key       BIGINT NOT NULL,
    requests         BIGINT,
    status_1xx       BIGINT,
    status_2xx       BIGINT,
    status_3xx       BIGINT,
    status_4xx       BIGINT,
    status_5xx       BIGINT,
    limited          BIGINT,
    maintenance      BIGINT,
    unavailable      BIGINT,
    cancelled        BIGINT,
    panicked         BIGINT,
    slow             BIGINT,
    latency_time     BIGINT,
    bytes_in         BIGINT,
    bytes_out        BIGINT,
    in_flight        BIGINT,
    statements       BIGINT,
    statement_errors BIGINT,
    statement_time   BIGINT,
    waits            BIGINT,
    waits_failed     BIGINT,
    wait_time        BIGINT,
    connection_time  BIGINT,
    cpu_time         BIGINT,
    jobs             BIGINT,
    job_errors       BIGINT,
    memory_bytes     BIGINT,
    last_seen        BIGINT,
    latency          VARBINARY(2000),
    own              MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    PRIMARY KEY (span, bucket, tenant_key)
) ENGINE = InnoDB;

-- What all tenants did together, in the steps of the tables of minutes, hours and days.
CREATE TABLE tenancy_usage_fleet (
    step             BIGINT NOT NULL, -- microseconds
    bucket           BIGINT NOT NULL,
    tenants          BIGINT NOT NULL, -- how many did something
    requests         BIGINT,
    status_1xx       BIGINT,
    status_2xx       BIGINT,
    status_3xx       BIGINT,
    status_4xx       BIGINT,
    status_5xx       BIGINT,
    limited          BIGINT,
    maintenance      BIGINT,
    unavailable      BIGINT,
    cancelled        BIGINT,
    panicked         BIGINT,
    slow             BIGINT,
    latency_time     BIGINT,
    bytes_in         BIGINT,
    bytes_out        BIGINT,
    in_flight        BIGINT,
    statements       BIGINT,
    statement_errors BIGINT,
    statement_time   BIGINT,
    waits            BIGINT,
    waits_failed     BIGINT,
    wait_time        BIGINT,
    connection_time  BIGINT,
    cpu_time         BIGINT,
    jobs             BIGINT,
    job_errors       BIGINT,
    memory_bytes     BIGINT,
    last_seen        BIGINT,
    latency          VARBINARY(2000),
    own              MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    PRIMARY KEY (step, bucket)
) ENGINE = InnoDB;

-- How each figure of an hour is spread over the tenants that did something in it.
CREATE TABLE tenancy_usage_spread (
    bucket  BIGINT NOT NULL,
    measure VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenants BIGINT NOT NULL,
    median  DOUBLE NOT NULL,
    p90     DOUBLE NOT NULL,
    p99     DOUBLE NOT NULL,
    PRIMARY KEY (bucket, measure)
) ENGINE = InnoDB;

-- What was rolled up before has no row of all tenants.
INSERT INTO tenancy_usage_state (name, value) SELECT 'fleet', value FROM tenancy_usage_state WHERE name = 'minutes';

INSERT INTO tenancy_usage_state (name, value) VALUES ('tenants', 0), ('reopened', 0), ('sums_seen', 0),
    ('sums_1h', 0), ('sums_24h', 0), ('sums_7d', 0), ('sums_30d', 0), ('sums_90d', 0);

-- +goose Down
DELETE FROM tenancy_usage_state WHERE name LIKE 'sums%' OR name IN ('fleet', 'tenants', 'reopened');

DROP TABLE tenancy_usage_spread;
DROP TABLE tenancy_usage_fleet;
DROP TABLE tenancy_usage_sums;

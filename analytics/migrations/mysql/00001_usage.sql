-- +goose Up
-- Times are microseconds since 1970-01-01 UTC, durations microseconds, sizes bytes.
-- A count that is zero is NULL, which takes no room.
CREATE TABLE tenancy_usage_tenants (
    tenant_key    BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id            VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    slug          VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name          VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    status        VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    plan          VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    server        VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    database_name VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tags          MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    limits        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    search_text   MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    listed_at     BIGINT NOT NULL,
    gone          BIGINT NOT NULL DEFAULT 0, -- 1: the catalog does not have it any more
    storage       BIGINT,
    sized_at      BIGINT
) ENGINE = InnoDB;

INSERT INTO tenancy_usage_tenants (tenant_key, id, slug, name, status, plan, server, database_name, tags, limits, search_text, version, created_at, listed_at)
VALUES (1, '(application)', '', '', '', '', '', '', '', '', '', 0, 0, 0), (2, '(unattributed)', '', '', '', '', '', '', '', '', '', 0, 0, 0);

CREATE TABLE tenancy_usage_tags (
    tag        VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_key BIGINT NOT NULL,
    PRIMARY KEY (tag, tenant_key)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_tags_tenant ON tenancy_usage_tags (tenant_key);

CREATE TABLE tenancy_usage_parts (
    bucket           BIGINT NOT NULL,
    tenant_key       BIGINT NOT NULL,
    source           BIGINT NOT NULL,
    revision         BIGINT NOT NULL,
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
    PRIMARY KEY (bucket, tenant_key, source)
) ENGINE = InnoDB;

CREATE TABLE tenancy_usage_late (
    bucket           BIGINT NOT NULL,
    tenant_key       BIGINT NOT NULL,
    source           BIGINT NOT NULL,
    revision         BIGINT NOT NULL,
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
    PRIMARY KEY (bucket, tenant_key, source)
) ENGINE = InnoDB;

CREATE TABLE tenancy_usage_1m (
    tenant_key       BIGINT NOT NULL,
    bucket           BIGINT NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_1m_bucket ON tenancy_usage_1m (bucket);

CREATE TABLE tenancy_usage_1h (
    tenant_key       BIGINT NOT NULL,
    bucket           BIGINT NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_1h_bucket ON tenancy_usage_1h (bucket);

CREATE TABLE tenancy_usage_1d (
    tenant_key       BIGINT NOT NULL,
    bucket           BIGINT NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) ENGINE = InnoDB;

CREATE INDEX tenancy_usage_1d_bucket ON tenancy_usage_1d (bucket);

CREATE TABLE tenancy_usage_instances (
    id             BIGINT NOT NULL PRIMARY KEY,
    name           VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    started_at     BIGINT NOT NULL,
    flushed_at     BIGINT NOT NULL,
    ended          BIGINT NOT NULL,
    flush_interval BIGINT NOT NULL,
    clock_offset   BIGINT NOT NULL,
    cpu_time       BIGINT NOT NULL,
    rss            BIGINT NOT NULL,
    heap           BIGINT NOT NULL,
    dropped        BIGINT NOT NULL,
    recorded       BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE TABLE tenancy_usage_state (
    name  VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB;

INSERT INTO tenancy_usage_state (name, value) VALUES ('catalog', 0), ('minutes', 0), ('hours', 0), ('days', 0);

CREATE TABLE tenancy_activities (
    id            BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    activity_key  VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    tenant_key    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    activity_type VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    description   MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    actor_kind    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    actor_id      VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    address       VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_agent    VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    request_id    VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    login_subject VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    login_method  VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    login_ok      BIGINT,
    login_reason  VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    times         BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE INDEX tenancy_activities_tenant ON tenancy_activities (tenant_key, created_at);
CREATE INDEX tenancy_activities_created ON tenancy_activities (created_at);

CREATE TABLE tenancy_usage_leases (
    name       VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_usage_leases;
DROP TABLE tenancy_activities;
DROP TABLE tenancy_usage_state;
DROP TABLE tenancy_usage_instances;
DROP TABLE tenancy_usage_1d;
DROP TABLE tenancy_usage_1h;
DROP TABLE tenancy_usage_1m;
DROP TABLE tenancy_usage_late;
DROP TABLE tenancy_usage_parts;
DROP TABLE tenancy_usage_tags;
DROP TABLE tenancy_usage_tenants;

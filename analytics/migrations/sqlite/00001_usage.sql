-- +goose Up
-- Times are microseconds since 1970-01-01 UTC, durations microseconds, sizes bytes.
-- A count that is zero is NULL, which takes no room.
CREATE TABLE tenancy_usage_tenants (
    tenant_key    INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    slug          TEXT NOT NULL,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL,
    plan          TEXT NOT NULL,
    server        TEXT NOT NULL,
    database_name TEXT NOT NULL,
    tags          TEXT NOT NULL,
    limits        TEXT NOT NULL,
    search_text   TEXT NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    listed_at     INTEGER NOT NULL,
    gone          INTEGER NOT NULL DEFAULT 0, -- 1: the catalog does not have it any more
    storage       INTEGER,
    sized_at      INTEGER
);

INSERT INTO tenancy_usage_tenants (tenant_key, id, slug, name, status, plan, server, database_name, tags, limits, search_text, version, created_at, listed_at)
VALUES (1, '(application)', '', '', '', '', '', '', '', '', '', 0, 0, 0), (2, '(unattributed)', '', '', '', '', '', '', '', '', '', 0, 0, 0);

CREATE TABLE tenancy_usage_tags (
    tag        TEXT NOT NULL,
    tenant_key INTEGER NOT NULL,
    PRIMARY KEY (tag, tenant_key)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_tags_tenant ON tenancy_usage_tags (tenant_key);

CREATE TABLE tenancy_usage_parts (
    bucket           INTEGER NOT NULL,
    tenant_key       INTEGER NOT NULL,
    source           INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
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
    PRIMARY KEY (bucket, tenant_key, source)
) WITHOUT ROWID;

CREATE TABLE tenancy_usage_late (
    bucket           INTEGER NOT NULL,
    tenant_key       INTEGER NOT NULL,
    source           INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
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
    PRIMARY KEY (bucket, tenant_key, source)
) WITHOUT ROWID;

CREATE TABLE tenancy_usage_1m (
    tenant_key       INTEGER NOT NULL,
    bucket           INTEGER NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_1m_bucket ON tenancy_usage_1m (bucket);

CREATE TABLE tenancy_usage_1h (
    tenant_key       INTEGER NOT NULL,
    bucket           INTEGER NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_1h_bucket ON tenancy_usage_1h (bucket);

CREATE TABLE tenancy_usage_1d (
    tenant_key       INTEGER NOT NULL,
    bucket           INTEGER NOT NULL,
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
    PRIMARY KEY (tenant_key, bucket)
) WITHOUT ROWID;

CREATE INDEX tenancy_usage_1d_bucket ON tenancy_usage_1d (bucket);

CREATE TABLE tenancy_usage_instances (
    id             INTEGER NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL,
    started_at     INTEGER NOT NULL,
    flushed_at     INTEGER NOT NULL,
    ended          INTEGER NOT NULL,
    flush_interval INTEGER NOT NULL,
    clock_offset   INTEGER NOT NULL,
    cpu_time       INTEGER NOT NULL,
    rss            INTEGER NOT NULL,
    heap           INTEGER NOT NULL,
    dropped        INTEGER NOT NULL,
    recorded       INTEGER NOT NULL
);

CREATE TABLE tenancy_usage_state (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
);

INSERT INTO tenancy_usage_state (name, value) VALUES ('catalog', 0), ('minutes', 0), ('hours', 0), ('days', 0);

CREATE TABLE tenancy_activities (
    id            INTEGER PRIMARY KEY,
    activity_key  TEXT NOT NULL UNIQUE,
    tenant_key    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    activity_type TEXT NOT NULL,
    description   TEXT NOT NULL,
    actor_kind    TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    address       TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    login_subject TEXT,
    login_method  TEXT,
    login_ok      INTEGER,
    login_reason  TEXT,
    times         INTEGER NOT NULL
);

CREATE INDEX tenancy_activities_tenant ON tenancy_activities (tenant_key, created_at);
CREATE INDEX tenancy_activities_created ON tenancy_activities (created_at);

CREATE TABLE tenancy_usage_leases (
    name       TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL, -- grows each time the lease changes hands
    holder     TEXT NOT NULL, -- empty: released
    expires_at INTEGER NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

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

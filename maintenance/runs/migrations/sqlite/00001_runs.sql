-- +goose Up
-- Times are microseconds since 1970-01-01 UTC, by the clock of the database; 0: not yet.
CREATE TABLE tenancy_runs (
    id         TEXT NOT NULL PRIMARY KEY,
    task       TEXT NOT NULL,
    state      TEXT NOT NULL, -- planning: not all tenants are in the plan yet
    reason     TEXT NOT NULL,
    spec       TEXT NOT NULL, -- JSON object
    actor      TEXT NOT NULL, -- JSON object
    idem_key   TEXT, -- idempotency key, or NULL
    wave       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    resume_at  INTEGER NOT NULL,
    UNIQUE (idem_key)
);

CREATE INDEX tenancy_runs_state ON tenancy_runs (state, id);

-- Wave 0 holds the tenants that the plan left out.
CREATE TABLE tenancy_run_waves (
    run_id    TEXT NOT NULL,
    wave      INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL, -- of its tenants
    total     INTEGER NOT NULL,
    done      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    skipped   INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    forgiven  INTEGER NOT NULL, -- failures that do not count to the budget any more
    busy      INTEGER NOT NULL, -- microseconds that tenants took
    PRIMARY KEY (run_id, wave)
);

CREATE TABLE tenancy_run_tenants (
    run_id     TEXT NOT NULL,
    seq        INTEGER NOT NULL, -- below 0: left out by the plan
    tenant_id  TEXT NOT NULL,
    slug       TEXT NOT NULL, -- slug, server and tags are those at the time of the plan
    server     TEXT NOT NULL,
    tags       TEXT NOT NULL, -- each between spaces
    state      TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    fence      INTEGER NOT NULL, -- grows with each claim
    deaths     INTEGER NOT NULL, -- of instances that worked on it
    worker     TEXT NOT NULL, -- the lease of the instance that works on it
    note       TEXT NOT NULL, -- error, or reason
    checkpoint TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq),
    UNIQUE (run_id, tenant_id)
);

CREATE INDEX tenancy_run_tenants_state ON tenancy_run_tenants (run_id, state, seq);
CREATE INDEX tenancy_run_tenants_worker ON tenancy_run_tenants (worker);

CREATE TABLE tenancy_runs_leases (
    name       TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL, -- grows each time the lease changes hands
    holder     TEXT NOT NULL, -- empty: released
    expires_at INTEGER NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_runs_leases;
DROP TABLE tenancy_run_tenants;
DROP TABLE tenancy_run_waves;
DROP TABLE tenancy_runs;

-- +goose Up
-- Times are microseconds since 1970-01-01 UTC, by the clock of the database; 0: not yet.
CREATE TABLE tenancy_runs (
    id         VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    task       VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    state      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- planning: not all tenants are in the plan yet
    reason     MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    spec       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON object
    actor      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON object
    idem_key   VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin, -- idempotency key, or NULL
    wave       INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    resume_at  BIGINT NOT NULL,
    UNIQUE (idem_key)
) ENGINE = InnoDB;

CREATE INDEX tenancy_runs_state ON tenancy_runs (state, id);

-- Wave 0 holds the tenants that the plan left out.
CREATE TABLE tenancy_run_waves (
    run_id    VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    wave      INTEGER NOT NULL,
    last_seq  BIGINT NOT NULL, -- of its tenants
    total     INTEGER NOT NULL,
    done      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    skipped   INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    forgiven  INTEGER NOT NULL, -- failures that do not count to the budget any more
    busy      BIGINT NOT NULL, -- microseconds that tenants took
    PRIMARY KEY (run_id, wave)
) ENGINE = InnoDB;

CREATE TABLE tenancy_run_tenants (
    run_id     VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seq        BIGINT NOT NULL, -- below 0: left out by the plan
    tenant_id  VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    slug       VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- slug, server and tags are those at the time of the plan
    server     VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    tags       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- each between spaces
    state      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempt    INTEGER NOT NULL,
    fence      BIGINT NOT NULL, -- grows with each claim
    deaths     INTEGER NOT NULL, -- of instances that worked on it
    worker     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- the lease of the instance that works on it
    note       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- error, or reason
    checkpoint MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    PRIMARY KEY (run_id, seq),
    UNIQUE (run_id, tenant_id)
) ENGINE = InnoDB;

CREATE INDEX tenancy_run_tenants_state ON tenancy_run_tenants (run_id, state, seq);
CREATE INDEX tenancy_run_tenants_worker ON tenancy_run_tenants (worker);

CREATE TABLE tenancy_runs_leases (
    name       VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_runs_leases;
DROP TABLE tenancy_run_tenants;
DROP TABLE tenancy_run_waves;
DROP TABLE tenancy_runs;

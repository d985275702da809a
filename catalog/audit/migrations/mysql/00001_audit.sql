-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_audit (
    id            VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    number        BIGINT UNIQUE, -- NULL until the entry is sealed
    hash          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin, -- of this entry and all before it
    time          BIGINT NOT NULL,
    actor_kind    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    actor_id      VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    actor_address VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_agent    VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    request_id    VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason        VARCHAR(1024) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    queued        SMALLINT NOT NULL, -- 0 or 1
    action        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id     VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- empty: the whole service
    object        VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    result        VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    problem       VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    times         BIGINT NOT NULL,
    changes       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL -- JSON array
) ENGINE = InnoDB;

CREATE INDEX tenancy_audit_time ON tenancy_audit (time, id);
CREATE INDEX tenancy_audit_tenant ON tenancy_audit (tenant_id, time, id);
CREATE INDEX tenancy_audit_actor ON tenancy_audit (actor_id, time, id);
CREATE INDEX tenancy_audit_action ON tenancy_audit (action, time, id);

-- The last entry that was sealed. The only row has the ID 1.
CREATE TABLE tenancy_audit_head (
    id        INTEGER NOT NULL PRIMARY KEY,
    trail     VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    number    BIGINT NOT NULL,
    hash      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sealed_at BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE TABLE tenancy_audit_leases (
    name       VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_audit_leases;
DROP TABLE tenancy_audit_head;
DROP TABLE tenancy_audit;

-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_audit (
    id            VARCHAR(36) COLLATE "C" NOT NULL PRIMARY KEY,
    number        BIGINT UNIQUE, -- NULL until the entry is sealed
    hash          VARCHAR(64) COLLATE "C", -- of this entry and all before it
    time          BIGINT NOT NULL,
    actor_kind    VARCHAR(16) COLLATE "C" NOT NULL,
    actor_id      VARCHAR(200) COLLATE "C" NOT NULL,
    actor_address VARCHAR(80) COLLATE "C" NOT NULL,
    user_agent    VARCHAR(256) NOT NULL,
    request_id    VARCHAR(128) NOT NULL,
    reason        VARCHAR(1024) NOT NULL,
    queued        SMALLINT NOT NULL, -- 0 or 1
    action        VARCHAR(64) COLLATE "C" NOT NULL,
    tenant_id     VARCHAR(36) COLLATE "C" NOT NULL, -- empty: the whole service
    object        VARCHAR(200) NOT NULL,
    result        VARCHAR(16) COLLATE "C" NOT NULL,
    problem       VARCHAR(200) NOT NULL,
    times         BIGINT NOT NULL,
    changes       TEXT NOT NULL -- JSON array
);

CREATE INDEX tenancy_audit_unsealed ON tenancy_audit (id) WHERE number IS NULL;
CREATE INDEX tenancy_audit_time ON tenancy_audit (time, id);
CREATE INDEX tenancy_audit_tenant ON tenancy_audit (tenant_id, time, id);
CREATE INDEX tenancy_audit_actor ON tenancy_audit (actor_id, time, id);
CREATE INDEX tenancy_audit_action ON tenancy_audit (action, time, id);

-- The last entry that was sealed. The only row has the ID 1.
CREATE TABLE tenancy_audit_head (
    id        INTEGER NOT NULL PRIMARY KEY,
    trail     VARCHAR(36) COLLATE "C" NOT NULL,
    number    BIGINT NOT NULL,
    hash      VARCHAR(64) COLLATE "C" NOT NULL,
    sealed_at BIGINT NOT NULL
);

CREATE TABLE tenancy_audit_leases (
    name       VARCHAR(190) COLLATE "C" NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_audit_leases;
DROP TABLE tenancy_audit_head;
DROP TABLE tenancy_audit;

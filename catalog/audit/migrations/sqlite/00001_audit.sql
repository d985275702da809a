-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_audit (
    id            TEXT NOT NULL PRIMARY KEY,
    number        INTEGER UNIQUE, -- NULL until the entry is sealed
    hash          TEXT, -- of this entry and all before it
    time          INTEGER NOT NULL,
    actor_kind    TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    actor_address TEXT NOT NULL,
    user_agent    TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    reason        TEXT NOT NULL,
    queued        INTEGER NOT NULL, -- 0 or 1
    action        TEXT NOT NULL,
    tenant_id     TEXT NOT NULL, -- empty: the whole service
    object        TEXT NOT NULL,
    result        TEXT NOT NULL,
    problem       TEXT NOT NULL,
    times         INTEGER NOT NULL,
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
    trail     TEXT NOT NULL,
    number    INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    sealed_at INTEGER NOT NULL
);

CREATE TABLE tenancy_audit_leases (
    name       TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL, -- grows each time the lease changes hands
    holder     TEXT NOT NULL, -- empty: released
    expires_at INTEGER NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_audit_leases;
DROP TABLE tenancy_audit_head;
DROP TABLE tenancy_audit;

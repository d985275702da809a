-- +goose Up
-- Events of changes, for those who follow them. Nothing is here unless the application asks for it.
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- ascending for each tenant
    id           TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    version      INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    time         INTEGER NOT NULL,
    actor        TEXT NOT NULL, -- JSON object
    changes      TEXT NOT NULL, -- JSON array
    delivered_at INTEGER NOT NULL, -- 0: not yet; -1: it waits behind an event of its tenant that failed
    streamed_at  INTEGER NOT NULL -- 0: not yet
);

CREATE INDEX tenancy_outbox_pending ON tenancy_outbox (seq) WHERE delivered_at = 0;
CREATE INDEX tenancy_outbox_unstreamed ON tenancy_outbox (seq) WHERE streamed_at = 0;
CREATE INDEX tenancy_outbox_tenant ON tenancy_outbox (tenant_id, seq) WHERE delivered_at <= 0;
CREATE INDEX tenancy_outbox_time ON tenancy_outbox (time);

-- Tenants whose events wait because one of them could not be delivered.
CREATE TABLE tenancy_outbox_held (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    attempts  INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,
    problem   TEXT NOT NULL
);

CREATE TABLE tenancy_outbox_leases (
    name       TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL, -- grows each time the lease changes hands
    holder     TEXT NOT NULL, -- empty: released
    expires_at INTEGER NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_outbox_leases;
DROP TABLE tenancy_outbox_held;
DROP TABLE tenancy_outbox;

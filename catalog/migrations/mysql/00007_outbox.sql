-- +goose Up
-- Events of changes, for those who follow them. Nothing is here unless the application asks for it.
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_outbox (
    seq          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, -- ascending for each tenant
    id           VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id    VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version      BIGINT NOT NULL,
    kind         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    time         BIGINT NOT NULL,
    actor        TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON object
    changes      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON array
    delivered_at BIGINT NOT NULL, -- 0: not yet; -1: it waits behind an event of its tenant that failed
    streamed_at  BIGINT NOT NULL -- 0: not yet
) ENGINE = InnoDB;

CREATE INDEX tenancy_outbox_pending ON tenancy_outbox (delivered_at, seq);
CREATE INDEX tenancy_outbox_unstreamed ON tenancy_outbox (streamed_at, seq);
CREATE INDEX tenancy_outbox_tenant ON tenancy_outbox (tenant_id, seq);
CREATE INDEX tenancy_outbox_time ON tenancy_outbox (time);

-- Tenants whose events wait because one of them could not be delivered.
CREATE TABLE tenancy_outbox_held (
    tenant_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    attempts  BIGINT NOT NULL,
    due_at    BIGINT NOT NULL,
    problem   VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE = InnoDB;

CREATE TABLE tenancy_outbox_leases (
    name       VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_outbox_leases;
DROP TABLE tenancy_outbox_held;
DROP TABLE tenancy_outbox;

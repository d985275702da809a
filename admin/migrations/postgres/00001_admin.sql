-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_admin_keys (
    id            VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY, -- hash of operator and Idempotency-Key
    request_hash  VARCHAR(64) COLLATE "C" NOT NULL,
    status        BIGINT NOT NULL, -- zero while the first request runs
    header        TEXT NOT NULL, -- JSON
    body          BYTEA NOT NULL,
    running_until BIGINT NOT NULL, -- then the instance has died
    expires_at    BIGINT NOT NULL
);

CREATE INDEX tenancy_admin_keys_expires ON tenancy_admin_keys (expires_at);

-- +goose Down
DROP TABLE tenancy_admin_keys;

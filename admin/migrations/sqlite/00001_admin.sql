-- +goose Up
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_admin_keys (
    id            TEXT NOT NULL PRIMARY KEY, -- hash of operator and Idempotency-Key
    request_hash  TEXT NOT NULL,
    status        INTEGER NOT NULL, -- zero while the first request runs
    header        TEXT NOT NULL, -- JSON
    body          BLOB NOT NULL,
    running_until INTEGER NOT NULL, -- then the instance has died
    expires_at    INTEGER NOT NULL
);

CREATE INDEX tenancy_admin_keys_expires ON tenancy_admin_keys (expires_at);

-- +goose Down
DROP TABLE tenancy_admin_keys;

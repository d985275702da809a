-- +goose Up
-- Who works on a tenant.
CREATE TABLE tenancy_locks (
    name       TEXT NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL, -- grows each time the lease changes hands
    holder     TEXT NOT NULL, -- empty: released
    expires_at INTEGER NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_locks;

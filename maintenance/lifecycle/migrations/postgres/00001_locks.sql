-- +goose Up
-- Who works on a tenant.
CREATE TABLE tenancy_locks (
    name       VARCHAR(190) COLLATE "C" NOT NULL PRIMARY KEY,
    token      BIGINT NOT NULL, -- grows each time the lease changes hands
    holder     VARCHAR(255) NOT NULL, -- empty: released
    expires_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
);

-- +goose Down
DROP TABLE tenancy_locks;

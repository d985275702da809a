-- +goose Up
-- One row at the most. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_maintenance (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    version    BIGINT NOT NULL,
    record     TEXT NOT NULL, -- JSON object, or empty when there is no maintenance
    updated_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tenancy_maintenance;

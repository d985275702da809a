-- +goose Up
-- One row at the most. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tenancy_maintenance (
    id         INT NOT NULL PRIMARY KEY CHECK (id = 1),
    version    BIGINT NOT NULL,
    record     MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON object, or empty when there is no maintenance
    updated_at BIGINT NOT NULL
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_maintenance;

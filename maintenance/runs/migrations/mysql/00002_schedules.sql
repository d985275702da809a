-- +goose Up
-- Times are microseconds since 1970-01-01 UTC; 0: none.
CREATE TABLE tenancy_run_schedules (
    name       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    definition MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- expression and zone that slot_at was made of
    slot_at    BIGINT NOT NULL, -- the next time of the expression
    due_at     BIGINT NOT NULL, -- the same with jitter
    paused     INTEGER NOT NULL,
    last_run   VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    last_slot  BIGINT NOT NULL,
    note       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL -- what became of the last slot, unless it was run
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_run_schedules;

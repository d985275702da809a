-- +goose Up
-- Times are microseconds since 1970-01-01 UTC; 0: none.
CREATE TABLE tenancy_run_schedules (
    name       TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL, -- expression and zone that slot_at was made of
    slot_at    INTEGER NOT NULL, -- the next time of the expression
    due_at     INTEGER NOT NULL, -- the same with jitter
    paused     INTEGER NOT NULL,
    last_run   TEXT NOT NULL,
    last_slot  INTEGER NOT NULL,
    note       TEXT NOT NULL -- what became of the last slot, unless it was run
);

-- +goose Down
DROP TABLE tenancy_run_schedules;

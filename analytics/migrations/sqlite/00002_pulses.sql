-- +goose Up
CREATE TABLE tenancy_usage_pulses (
    instance INTEGER NOT NULL PRIMARY KEY,
    sent_at  INTEGER NOT NULL, -- microseconds since 1970-01-01 UTC
    payload  TEXT NOT NULL -- JSON
);

INSERT INTO tenancy_usage_state (name, value) VALUES ('watched', 0);

-- +goose Down
DELETE FROM tenancy_usage_state WHERE name = 'watched';

DROP TABLE tenancy_usage_pulses;

-- +goose Up
CREATE TABLE notes (
    id         BIGINT NOT NULL PRIMARY KEY,
    text       VARCHAR(1000) NOT NULL,
    created_at BIGINT NOT NULL -- microseconds since 1970-01-01 UTC
);

-- +goose Down
DROP TABLE notes;

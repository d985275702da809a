-- +goose Up
CREATE TABLE notes (
    id         VARCHAR(26) NOT NULL PRIMARY KEY,
    text       TEXT NOT NULL,
    created_at BIGINT NOT NULL -- microseconds since 1970
);

-- +goose Down
DROP TABLE notes;

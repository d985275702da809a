-- +goose Up
ALTER TABLE notes ADD COLUMN pinned SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE notes DROP COLUMN pinned;

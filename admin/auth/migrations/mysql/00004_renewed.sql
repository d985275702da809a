-- +goose Up
-- The hash of the token that a session had before its last renewal, or empty: a browser that did not get the answer yet can end the session by it.
ALTER TABLE tenancy_auth_sessions ADD COLUMN previous_hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '';

CREATE INDEX tenancy_auth_sessions_previous ON tenancy_auth_sessions (previous_hash);

-- +goose Down
DROP INDEX tenancy_auth_sessions_previous ON tenancy_auth_sessions;
ALTER TABLE tenancy_auth_sessions DROP COLUMN previous_hash;

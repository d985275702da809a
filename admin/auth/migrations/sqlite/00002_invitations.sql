-- +goose Up
CREATE TABLE tenancy_auth_invitations (
    token_hash TEXT NOT NULL PRIMARY KEY,
    email      TEXT NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    scope      TEXT NOT NULL, -- JSON
    invited_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL
);

-- +goose Down
DROP TABLE tenancy_auth_invitations;

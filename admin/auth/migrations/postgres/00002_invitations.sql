-- +goose Up
CREATE TABLE tenancy_auth_invitations (
    token_hash VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY,
    email      VARCHAR(254) NOT NULL,
    name       VARCHAR(254) NOT NULL,
    role       VARCHAR(64) COLLATE "C" NOT NULL,
    scope      TEXT NOT NULL, -- JSON
    invited_by VARCHAR(64) COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tenancy_auth_invitations;

-- +goose Up
-- Links that work once: to choose a new password, and to get in again when all owners are locked out. Rows of used ones say when.
CREATE TABLE tenancy_auth_links (
    token_hash  TEXT NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL, -- reset or rescue
    operator_id TEXT NOT NULL,
    made_by     TEXT NOT NULL, -- an operator, or empty
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL -- zero: not yet
);

CREATE INDEX tenancy_auth_links_operator ON tenancy_auth_links (operator_id);

-- Tokens of machines. Each acts with the rights that it shares with its owner.
CREATE TABLE tenancy_auth_tokens (
    id          TEXT NOT NULL PRIMARY KEY,
    token_hash  TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    permissions TEXT NOT NULL, -- JSON
    step_up     TEXT NOT NULL, -- JSON: the permissions that need no fresh credentials
    scope       TEXT NOT NULL, -- JSON
    allow       TEXT NOT NULL, -- JSON: prefixes of addresses
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    used_from   TEXT NOT NULL,
    replaced_by TEXT NOT NULL
);

CREATE INDEX tenancy_auth_tokens_operator ON tenancy_auth_tokens (operator_id);

-- What operators decide for all of them, by name: settings, and the rules about addresses.
CREATE TABLE tenancy_auth_documents (
    name       TEXT NOT NULL PRIMARY KEY,
    body       TEXT NOT NULL, -- JSON
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

INSERT INTO tenancy_auth_documents (name, body, version, updated_at) VALUES ('settings', '{}', 1, 0);
INSERT INTO tenancy_auth_documents (name, body, version, updated_at) VALUES ('ip-rules', '{}', 1, 0);

-- +goose Down
DROP TABLE tenancy_auth_documents;
DROP TABLE tenancy_auth_tokens;
DROP TABLE tenancy_auth_links;

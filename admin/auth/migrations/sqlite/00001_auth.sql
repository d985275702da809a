-- +goose Up
-- Times are microseconds since 1970-01-01 UTC; zero is never.
CREATE TABLE tenancy_auth_operators (
    id              TEXT NOT NULL PRIMARY KEY,
    email           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    password_hash   TEXT NOT NULL, -- PHC string
    role            TEXT NOT NULL,
    scope           TEXT NOT NULL, -- JSON
    disabled_at     INTEGER NOT NULL,
    totp_secret     TEXT NOT NULL, -- encrypted, or empty
    totp_confirmed  INTEGER NOT NULL,
    totp_step       INTEGER NOT NULL, -- of the last code that was accepted
    factor_misses   INTEGER NOT NULL,
    factor_locked   INTEGER NOT NULL, -- until then no second factor is looked at
    failed_sign_ins INTEGER NOT NULL, -- since the last one that succeeded
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    signed_in_at    INTEGER NOT NULL
);

CREATE TABLE tenancy_auth_recovery_codes (
    operator_id TEXT NOT NULL,
    code_hash   TEXT NOT NULL,
    PRIMARY KEY (operator_id, code_hash)
);

CREATE TABLE tenancy_auth_sessions (
    token_hash   TEXT NOT NULL PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    operator_id  TEXT NOT NULL,
    data         BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    address      TEXT NOT NULL,
    user_agent   TEXT NOT NULL
);

CREATE INDEX tenancy_auth_sessions_operator ON tenancy_auth_sessions (operator_id);
CREATE INDEX tenancy_auth_sessions_expires ON tenancy_auth_sessions (expires_at);

CREATE TABLE tenancy_auth_setup_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
);

-- One row: who made the first owner won, and the key that is used when the application gives none.
CREATE TABLE tenancy_auth_state (
    id          INTEGER NOT NULL PRIMARY KEY,
    claimed_at  INTEGER NOT NULL, -- zero: there was never an owner
    changes     INTEGER NOT NULL, -- counts changes of roles; whoever makes one locks the row
    sealing_key TEXT NOT NULL
);

INSERT INTO tenancy_auth_state (id, claimed_at, changes, sealing_key) VALUES (1, 0, 0, '');

-- +goose Down
DROP TABLE tenancy_auth_state;
DROP TABLE tenancy_auth_setup_tokens;
DROP TABLE tenancy_auth_sessions;
DROP TABLE tenancy_auth_recovery_codes;
DROP TABLE tenancy_auth_operators;

-- +goose Up
-- Times are microseconds since 1970-01-01 UTC; zero is never.
CREATE TABLE tenancy_auth_operators (
    id              VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    email           VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
    name            VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    password_hash   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- PHC string
    role            VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    scope           MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON
    disabled_at     BIGINT NOT NULL,
    totp_secret     VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- encrypted, or empty
    totp_confirmed  BIGINT NOT NULL,
    totp_step       BIGINT NOT NULL, -- of the last code that was accepted
    factor_misses   BIGINT NOT NULL,
    factor_locked   BIGINT NOT NULL, -- until then no second factor is looked at
    failed_sign_ins BIGINT NOT NULL, -- since the last one that succeeded
    version         BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    signed_in_at    BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE TABLE tenancy_auth_recovery_codes (
    operator_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    code_hash   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (operator_id, code_hash)
) ENGINE = InnoDB;

CREATE TABLE tenancy_auth_sessions (
    token_hash   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    id           VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    operator_id  VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    data         MEDIUMBLOB NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    address      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_agent   VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE = InnoDB;

CREATE INDEX tenancy_auth_sessions_operator ON tenancy_auth_sessions (operator_id);
CREATE INDEX tenancy_auth_sessions_expires ON tenancy_auth_sessions (expires_at);

CREATE TABLE tenancy_auth_setup_tokens (
    token_hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
) ENGINE = InnoDB;

-- One row: who made the first owner won, and the key that is used when the application gives none.
CREATE TABLE tenancy_auth_state (
    id          BIGINT NOT NULL PRIMARY KEY,
    claimed_at  BIGINT NOT NULL, -- zero: there was never an owner
    changes     BIGINT NOT NULL, -- counts changes of roles; whoever makes one locks the row
    sealing_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
) ENGINE = InnoDB;

INSERT INTO tenancy_auth_state (id, claimed_at, changes, sealing_key) VALUES (1, 0, 0, '');

-- +goose Down
DROP TABLE tenancy_auth_state;
DROP TABLE tenancy_auth_setup_tokens;
DROP TABLE tenancy_auth_sessions;
DROP TABLE tenancy_auth_recovery_codes;
DROP TABLE tenancy_auth_operators;

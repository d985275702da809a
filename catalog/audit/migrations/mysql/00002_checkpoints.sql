-- +goose Up
-- What was signed: the hash of all entries up to that number.
CREATE TABLE tenancy_audit_checkpoints (
    number    BIGINT NOT NULL PRIMARY KEY,
    trail     VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    hash      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    time      BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    signature VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- Ed25519, in base64
    sent      SMALLINT NOT NULL -- 1: the application's sink has it
) ENGINE = InnoDB;

-- Entries are sealed in the order of their times.
CREATE INDEX tenancy_audit_unsealed ON tenancy_audit (number, time, id);

-- +goose Down
DROP INDEX tenancy_audit_unsealed ON tenancy_audit;
DROP TABLE tenancy_audit_checkpoints;

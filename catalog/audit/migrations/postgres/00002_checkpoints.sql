-- +goose Up
-- What was signed: the hash of all entries up to that number.
CREATE TABLE tenancy_audit_checkpoints (
    number    BIGINT NOT NULL PRIMARY KEY,
    trail     VARCHAR(36) COLLATE "C" NOT NULL,
    hash      VARCHAR(64) COLLATE "C" NOT NULL,
    time      BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    signature VARCHAR(100) COLLATE "C" NOT NULL, -- Ed25519, in base64
    sent      SMALLINT NOT NULL -- 1: the application's sink has it
);

-- Entries are sealed in the order of their times.
DROP INDEX tenancy_audit_unsealed;
CREATE INDEX tenancy_audit_unsealed ON tenancy_audit (time, id) WHERE number IS NULL;

-- +goose Down
DROP INDEX tenancy_audit_unsealed;
CREATE INDEX tenancy_audit_unsealed ON tenancy_audit (id) WHERE number IS NULL;
DROP TABLE tenancy_audit_checkpoints;

-- +goose Up
-- Up to where the audit was cut, as somebody with the key signed. The only row has the ID 1.
CREATE TABLE tenancy_audit_cut (
    id        SMALLINT NOT NULL PRIMARY KEY,
    number    BIGINT NOT NULL,
    trail     VARCHAR(36) COLLATE "C" NOT NULL,
    hash      VARCHAR(64) COLLATE "C" NOT NULL,
    time      BIGINT NOT NULL, -- microseconds since 1970-01-01 UTC
    signature VARCHAR(100) COLLATE "C" NOT NULL -- Ed25519, in base64
);

-- +goose Down
DROP TABLE tenancy_audit_cut;

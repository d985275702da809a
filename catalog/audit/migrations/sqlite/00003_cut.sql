-- +goose Up
-- Up to where the audit was cut, as somebody with the key signed. The only row has the ID 1.
CREATE TABLE tenancy_audit_cut (
    id        INTEGER NOT NULL PRIMARY KEY,
    number    INTEGER NOT NULL,
    trail     TEXT NOT NULL,
    hash      TEXT NOT NULL,
    time      INTEGER NOT NULL, -- microseconds since 1970-01-01 UTC
    signature TEXT NOT NULL -- Ed25519, in base64
);

-- +goose Down
DROP TABLE tenancy_audit_cut;

-- +goose Up
-- Saved filters of operators.
CREATE TABLE tenancy_admin_views (
    id          TEXT NOT NULL PRIMARY KEY,
    operator_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    page        TEXT NOT NULL,
    filter      TEXT NOT NULL,
    column_list TEXT NOT NULL, -- JSON
    sort        TEXT NOT NULL,
    shared      INTEGER NOT NULL, -- 1: others see it, too
    scope       TEXT NOT NULL, -- JSON: of the operator when it was saved
    version     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);

CREATE INDEX tenancy_admin_views_operator ON tenancy_admin_views (operator_id);

-- What the page remembers for an operator.
CREATE TABLE tenancy_admin_preferences (
    operator_id TEXT NOT NULL PRIMARY KEY,
    body        TEXT NOT NULL, -- JSON
    version     INTEGER NOT NULL
);

-- +goose Down
DROP TABLE tenancy_admin_preferences;
DROP TABLE tenancy_admin_views;

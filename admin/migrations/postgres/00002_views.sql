-- +goose Up
-- Saved filters of operators.
CREATE TABLE tenancy_admin_views (
    id          VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY,
    operator_id VARCHAR(200) COLLATE "C" NOT NULL,
    name        VARCHAR(200) NOT NULL,
    page        VARCHAR(32) COLLATE "C" NOT NULL,
    filter      TEXT NOT NULL,
    column_list TEXT NOT NULL, -- JSON
    sort        VARCHAR(64) COLLATE "C" NOT NULL,
    shared      BIGINT NOT NULL, -- 1: others see it, too
    scope       TEXT NOT NULL, -- JSON: of the operator when it was saved
    version     BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE INDEX tenancy_admin_views_operator ON tenancy_admin_views (operator_id);

-- What the page remembers for an operator.
CREATE TABLE tenancy_admin_preferences (
    operator_id VARCHAR(200) COLLATE "C" NOT NULL PRIMARY KEY,
    body        TEXT NOT NULL, -- JSON
    version     BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tenancy_admin_preferences;
DROP TABLE tenancy_admin_views;

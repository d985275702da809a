-- +goose Up
-- Saved filters of operators.
CREATE TABLE tenancy_admin_views (
    id          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    operator_id VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    name        VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    page        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    filter      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    column_list MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON
    sort        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    shared      BIGINT NOT NULL, -- 1: others see it, too
    scope       MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON: of the operator when it was saved
    version     BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
) ENGINE = InnoDB;

CREATE INDEX tenancy_admin_views_operator ON tenancy_admin_views (operator_id);

-- What the page remembers for an operator.
CREATE TABLE tenancy_admin_preferences (
    operator_id VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    body        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- JSON
    version     BIGINT NOT NULL
) ENGINE = InnoDB;

-- +goose Down
DROP TABLE tenancy_admin_preferences;
DROP TABLE tenancy_admin_views;

-- +goose Up
CREATE TABLE tenancy_usage_storage (
    tenant_key BIGINT NOT NULL,
    bucket     BIGINT NOT NULL, -- the begin of the day, in microseconds since 1970-01-01 UTC
    bytes      BIGINT NOT NULL, -- the last size of the day
    PRIMARY KEY (tenant_key, bucket)
);

CREATE INDEX tenancy_usage_storage_bucket ON tenancy_usage_storage (bucket);

CREATE INDEX tenancy_activities_subject ON tenancy_activities (login_subject, created_at) WHERE login_subject IS NOT NULL;

-- +goose Down
DROP INDEX tenancy_activities_subject;

DROP TABLE tenancy_usage_storage;

-- +goose Up
-- Tables of counts are partitioned by time: an hour, a day, a week or 13 weeks each. There is no default partition: what has none
-- is an error, and who gets it makes one with this function.
-- +goose StatementBegin
CREATE FUNCTION tenancy_usage_partition(parent TEXT, moment BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    step  BIGINT := CASE parent WHEN 'tenancy_usage_parts' THEN 3600000000 WHEN 'tenancy_usage_1m' THEN 86400000000 WHEN 'tenancy_usage_1h' THEN 604800000000 WHEN 'tenancy_usage_1d' THEN 7862400000000 END;
    start BIGINT := moment - moment % step;
    child TEXT := parent || '_' || to_char(to_timestamp(start / 1000000) AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
BEGIN
    -- A query of the catalog sees what others have committed, which to_regclass may not.
    FOR i IN 1..2 LOOP
        PERFORM FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass(quote_ident(parent)) AND relname = child;
        IF FOUND THEN
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('tenancy_usage_partition'), hashtext(current_schema()));
    END LOOP;
    -- ATTACH stops neither readers nor writers; CREATE TABLE … PARTITION OF would.
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, child, start, start + step);
END
$$;
-- +goose StatementEnd

-- A view of these tables is made again below.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE TEMPORARY TABLE tenancy_usage_view ON COMMIT DROP AS
        SELECT pg_get_viewdef(oid) AS definition FROM pg_class WHERE oid = to_regclass('tenant_usage_logs') AND relkind = 'v';
    IF EXISTS (SELECT 1 FROM tenancy_usage_view) THEN
        DROP VIEW tenant_usage_logs;
    END IF;
END
$$;
-- +goose StatementEnd

ALTER TABLE tenancy_usage_parts RENAME TO tenancy_usage_parts_whole;
ALTER INDEX tenancy_usage_parts_pkey RENAME TO tenancy_usage_parts_whole_pkey;
CREATE TABLE tenancy_usage_parts (LIKE tenancy_usage_parts_whole INCLUDING DEFAULTS) PARTITION BY RANGE (bucket);
ALTER TABLE tenancy_usage_parts ADD PRIMARY KEY (bucket, tenant_key, source);
SELECT tenancy_usage_partition('tenancy_usage_parts', start) FROM (SELECT DISTINCT bucket - bucket % 3600000000 AS start FROM tenancy_usage_parts_whole) s;
INSERT INTO tenancy_usage_parts SELECT * FROM tenancy_usage_parts_whole ORDER BY bucket, tenant_key, source;
DROP TABLE tenancy_usage_parts_whole;

ALTER TABLE tenancy_usage_1m RENAME TO tenancy_usage_1m_whole;
ALTER INDEX tenancy_usage_1m_pkey RENAME TO tenancy_usage_1m_whole_pkey;
ALTER INDEX tenancy_usage_1m_bucket RENAME TO tenancy_usage_1m_whole_bucket;
CREATE TABLE tenancy_usage_1m (LIKE tenancy_usage_1m_whole INCLUDING DEFAULTS) PARTITION BY RANGE (bucket);
ALTER TABLE tenancy_usage_1m ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1m_bucket ON tenancy_usage_1m (bucket);
SELECT tenancy_usage_partition('tenancy_usage_1m', start) FROM (SELECT DISTINCT bucket - bucket % 86400000000 AS start FROM tenancy_usage_1m_whole) s;
INSERT INTO tenancy_usage_1m SELECT * FROM tenancy_usage_1m_whole ORDER BY tenant_key, bucket;
DROP TABLE tenancy_usage_1m_whole;

ALTER TABLE tenancy_usage_1h RENAME TO tenancy_usage_1h_whole;
ALTER INDEX tenancy_usage_1h_pkey RENAME TO tenancy_usage_1h_whole_pkey;
ALTER INDEX tenancy_usage_1h_bucket RENAME TO tenancy_usage_1h_whole_bucket;
CREATE TABLE tenancy_usage_1h (LIKE tenancy_usage_1h_whole INCLUDING DEFAULTS) PARTITION BY RANGE (bucket);
ALTER TABLE tenancy_usage_1h ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1h_bucket ON tenancy_usage_1h (bucket);
SELECT tenancy_usage_partition('tenancy_usage_1h', start) FROM (SELECT DISTINCT bucket - bucket % 604800000000 AS start FROM tenancy_usage_1h_whole) s;
INSERT INTO tenancy_usage_1h SELECT * FROM tenancy_usage_1h_whole ORDER BY tenant_key, bucket;
DROP TABLE tenancy_usage_1h_whole;

ALTER TABLE tenancy_usage_1d RENAME TO tenancy_usage_1d_whole;
ALTER INDEX tenancy_usage_1d_pkey RENAME TO tenancy_usage_1d_whole_pkey;
ALTER INDEX tenancy_usage_1d_bucket RENAME TO tenancy_usage_1d_whole_bucket;
CREATE TABLE tenancy_usage_1d (LIKE tenancy_usage_1d_whole INCLUDING DEFAULTS) PARTITION BY RANGE (bucket);
ALTER TABLE tenancy_usage_1d ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1d_bucket ON tenancy_usage_1d (bucket);
SELECT tenancy_usage_partition('tenancy_usage_1d', start) FROM (SELECT DISTINCT bucket - bucket % 7862400000000 AS start FROM tenancy_usage_1d_whole) s;
INSERT INTO tenancy_usage_1d SELECT * FROM tenancy_usage_1d_whole ORDER BY tenant_key, bucket;
DROP TABLE tenancy_usage_1d_whole;

-- +goose StatementBegin
DO $$
DECLARE
    it TEXT := (SELECT definition FROM tenancy_usage_view);
BEGIN
    IF it IS NOT NULL THEN
        EXECUTE 'CREATE VIEW tenant_usage_logs AS ' || it;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- A view of these tables is made again below.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE TEMPORARY TABLE tenancy_usage_view ON COMMIT DROP AS
        SELECT pg_get_viewdef(oid) AS definition FROM pg_class WHERE oid = to_regclass('tenant_usage_logs') AND relkind = 'v';
    IF EXISTS (SELECT 1 FROM tenancy_usage_view) THEN
        DROP VIEW tenant_usage_logs;
    END IF;
END
$$;
-- +goose StatementEnd

ALTER TABLE tenancy_usage_parts RENAME TO tenancy_usage_parts_parted;
ALTER INDEX tenancy_usage_parts_pkey RENAME TO tenancy_usage_parts_parted_pkey;
CREATE TABLE tenancy_usage_parts (LIKE tenancy_usage_parts_parted INCLUDING DEFAULTS);
ALTER TABLE tenancy_usage_parts ADD PRIMARY KEY (bucket, tenant_key, source);
INSERT INTO tenancy_usage_parts SELECT * FROM tenancy_usage_parts_parted;
DROP TABLE tenancy_usage_parts_parted;

ALTER TABLE tenancy_usage_1m RENAME TO tenancy_usage_1m_parted;
ALTER INDEX tenancy_usage_1m_pkey RENAME TO tenancy_usage_1m_parted_pkey;
ALTER INDEX tenancy_usage_1m_bucket RENAME TO tenancy_usage_1m_parted_bucket;
CREATE TABLE tenancy_usage_1m (LIKE tenancy_usage_1m_parted INCLUDING DEFAULTS);
ALTER TABLE tenancy_usage_1m ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1m_bucket ON tenancy_usage_1m (bucket);
INSERT INTO tenancy_usage_1m SELECT * FROM tenancy_usage_1m_parted;
DROP TABLE tenancy_usage_1m_parted;

ALTER TABLE tenancy_usage_1h RENAME TO tenancy_usage_1h_parted;
ALTER INDEX tenancy_usage_1h_pkey RENAME TO tenancy_usage_1h_parted_pkey;
ALTER INDEX tenancy_usage_1h_bucket RENAME TO tenancy_usage_1h_parted_bucket;
CREATE TABLE tenancy_usage_1h (LIKE tenancy_usage_1h_parted INCLUDING DEFAULTS);
ALTER TABLE tenancy_usage_1h ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1h_bucket ON tenancy_usage_1h (bucket);
INSERT INTO tenancy_usage_1h SELECT * FROM tenancy_usage_1h_parted;
DROP TABLE tenancy_usage_1h_parted;

ALTER TABLE tenancy_usage_1d RENAME TO tenancy_usage_1d_parted;
ALTER INDEX tenancy_usage_1d_pkey RENAME TO tenancy_usage_1d_parted_pkey;
ALTER INDEX tenancy_usage_1d_bucket RENAME TO tenancy_usage_1d_parted_bucket;
CREATE TABLE tenancy_usage_1d (LIKE tenancy_usage_1d_parted INCLUDING DEFAULTS);
ALTER TABLE tenancy_usage_1d ADD PRIMARY KEY (tenant_key, bucket);
CREATE INDEX tenancy_usage_1d_bucket ON tenancy_usage_1d (bucket);
INSERT INTO tenancy_usage_1d SELECT * FROM tenancy_usage_1d_parted;
DROP TABLE tenancy_usage_1d_parted;

-- +goose StatementBegin
DO $$
DECLARE
    it TEXT := (SELECT definition FROM tenancy_usage_view);
BEGIN
    IF it IS NOT NULL THEN
        EXECUTE 'CREATE VIEW tenant_usage_logs AS ' || it;
    END IF;
END
$$;
-- +goose StatementEnd

DROP FUNCTION tenancy_usage_partition(TEXT, BIGINT);

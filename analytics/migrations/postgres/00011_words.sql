-- +goose Up
-- Text is looked for at the beginnings of words, which stand behind a space each. Records that
-- change get theirs from the program.
UPDATE tenancy_usage_tenants SET search_text = ' ' || REPLACE(REPLACE(REPLACE(search_text, chr(10), ' '), '-', ' '), '.', ' ');

-- +goose Down
-- The words are of use to the version before, too.
SELECT 1;

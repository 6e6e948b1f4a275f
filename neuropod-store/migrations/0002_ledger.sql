-- What a meter's transfer is for, and up to when a meter is posted. Rows of earlier releases have none.
ALTER TABLE transfers ADD COLUMN meter TEXT;
ALTER TABLE transfers ADD COLUMN product TEXT;
ALTER TABLE transfers ADD COLUMN quantity BIGINT;
ALTER TABLE transfers ADD COLUMN rate BIGINT;
ALTER TABLE transfers ADD COLUMN used_from BIGINT;
ALTER TABLE transfers ADD COLUMN used_to BIGINT;
ALTER TABLE meters ADD COLUMN until BIGINT;

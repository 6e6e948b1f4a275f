-- What a meter's transfer is for, up to when a meter is posted, the chains of accounts, and a seal over each row. Rows of
-- earlier releases have none of it.
ALTER TABLE accounts ADD COLUMN transfers BIGINT;
ALTER TABLE accounts ADD COLUMN head TEXT;
ALTER TABLE accounts ADD COLUMN seal BIGINT;

ALTER TABLE transfers ADD COLUMN meter TEXT;
ALTER TABLE transfers ADD COLUMN product TEXT;
ALTER TABLE transfers ADD COLUMN quantity BIGINT;
ALTER TABLE transfers ADD COLUMN rate BIGINT;
ALTER TABLE transfers ADD COLUMN used_from BIGINT;
ALTER TABLE transfers ADD COLUMN used_to BIGINT;
ALTER TABLE transfers ADD COLUMN debit_seq BIGINT;
ALTER TABLE transfers ADD COLUMN debit_hash TEXT;
ALTER TABLE transfers ADD COLUMN credit_seq BIGINT;
ALTER TABLE transfers ADD COLUMN credit_hash TEXT;
ALTER TABLE transfers ADD COLUMN seal BIGINT;

ALTER TABLE meters ADD COLUMN until BIGINT;
ALTER TABLE meters ADD COLUMN seal BIGINT;

-- Everything is BIGINT or TEXT, so that both engines and one driver read it alike. What is looked for stands in columns
-- of its own; the whole row is JSON in `body`. On PostgreSQL each TEXT gets COLLATE "C": keys come by code points.

-- One row: the life of this database. See events.rs.
CREATE TABLE life (
    one BIGINT PRIMARY KEY,
    installation TEXT NOT NULL,
    cluster TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    xid BIGINT NOT NULL,
    gone_epoch BIGINT NOT NULL,
    gone_xid BIGINT NOT NULL,
    gone_n BIGINT NOT NULL
);

CREATE TABLE pods (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL
);

-- Every filter that a pod answers, and its position there: `Pod::places`.
CREATE TABLE pod_places (
    place TEXT NOT NULL,
    position BIGINT NOT NULL,
    pod TEXT NOT NULL,
    PRIMARY KEY (place, position, pod)
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL
);

-- Customers' accounts.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    posted BIGINT NOT NULL,
    unlimited BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE transfers (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    xid BIGINT NOT NULL,
    n BIGINT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount BIGINT NOT NULL,
    memo TEXT NOT NULL,
    actor TEXT,
    at BIGINT NOT NULL
);
CREATE INDEX transfers_debit ON transfers (debit, epoch, xid, n);
CREATE INDEX transfers_credit ON transfers (credit, epoch, xid, n);

CREATE TABLE meters (
    meter TEXT PRIMARY KEY,
    total BIGINT NOT NULL,
    closed BIGINT NOT NULL
);

CREATE TABLE leases (
    resource TEXT PRIMARY KEY,
    pod TEXT,
    until BIGINT
);

CREATE TABLE documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    index0 TEXT,
    index1 TEXT,
    index2 TEXT,
    expires_at BIGINT,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX documents_index0 ON documents (kind, index0, key) WHERE index0 IS NOT NULL;
CREATE INDEX documents_index1 ON documents (kind, index1, key) WHERE index1 IS NOT NULL;
CREATE INDEX documents_index2 ON documents (kind, index2, key) WHERE index2 IS NOT NULL;
CREATE INDEX documents_expiry ON documents (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE work (
    key TEXT PRIMARY KEY,
    ready BIGINT NOT NULL,
    wake BIGINT NOT NULL,
    token TEXT,
    woken BIGINT
);
CREATE INDEX work_ready ON work (ready, key);

CREATE TABLE events (
    epoch BIGINT NOT NULL,
    xid BIGINT NOT NULL,
    n BIGINT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (epoch, xid, n)
);

-- What receipts are made of. None of it refers to a cluster's row: it is kept when the cluster is gone.

-- +goose Up
ALTER TABLE steps ADD COLUMN phase TEXT NOT NULL DEFAULT '';

CREATE TABLE inventories (
    cluster TEXT NOT NULL,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    moment  TEXT NOT NULL,
    taken   BIGINT NOT NULL,
    items   TEXT NOT NULL,
    PRIMARY KEY (cluster, account, region, moment)
);

CREATE TABLE abandoned (
    cluster TEXT NOT NULL,
    site    TEXT NOT NULL,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    who     TEXT NOT NULL,
    reason  TEXT NOT NULL,
    asked   BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    items   TEXT NOT NULL,
    PRIMARY KEY (cluster, site)
);

CREATE TABLE receipts (
    cluster  TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    summary  TEXT NOT NULL,
    closed   BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX receipts_by_name ON receipts (name);

-- +goose Down
DROP TABLE receipts;
DROP TABLE abandoned;
DROP TABLE inventories;
ALTER TABLE steps DROP COLUMN phase;

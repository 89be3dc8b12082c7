-- What streams are made of, and what makes a write that is sent twice happen once.

-- +goose Up
-- One line for each thing that a transaction changed, as it was at its end, in the order of the commits.
CREATE TABLE feed (
    id      BIGINT PRIMARY KEY,
    time    BIGINT NOT NULL,
    cluster TEXT NOT NULL,
    name    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    data    TEXT NOT NULL
);

-- Up to which id the feed was pruned; no row before the first time.
CREATE TABLE feed_pruned (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last BIGINT NOT NULL
);

-- A write that was sent with a key. status is 0 until it is answered; token and until are those of the try under way, and
-- change is what it queued, written in the transaction that queued it.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    key       TEXT NOT NULL,
    digest    TEXT NOT NULL,
    begun     BIGINT NOT NULL,
    token     TEXT NOT NULL,
    until     BIGINT NOT NULL,
    change    BIGINT NOT NULL,
    status    BIGINT NOT NULL,
    answer    TEXT NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_by_age ON idempotency (begun);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE feed_pruned;
DROP TABLE feed;

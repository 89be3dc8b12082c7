-- Types are chosen so that SQLite and PostgreSQL both take them: times are BIGINT microseconds since 1970 in UTC (0 for
-- never), ids are given by the row of the table "ids", documents are JSON in TEXT, sealed values are BYTEA.

-- +goose Up
CREATE TABLE ids (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last BIGINT NOT NULL
);
INSERT INTO ids (one, last) VALUES (1, 0);

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE accounts (
    name     TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    settings TEXT NOT NULL,
    secrets  BYTEA NOT NULL,
    ca       TEXT NOT NULL,
    proxy    BYTEA NOT NULL,
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL
);

CREATE TABLE clusters (
    uid              TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    spec             TEXT NOT NULL,
    generation       BIGINT NOT NULL,
    phase            TEXT NOT NULL,
    conditions       TEXT NOT NULL,
    status           TEXT NOT NULL,
    created          BIGINT NOT NULL,
    delete_requested BIGINT NOT NULL,
    deleted          BIGINT NOT NULL,
    next_run_at      BIGINT NOT NULL,
    wakes            BIGINT NOT NULL,
    wakes_seen       BIGINT NOT NULL,
    lease_owner      TEXT NOT NULL,
    lease_until      BIGINT NOT NULL,
    lease_epoch      BIGINT NOT NULL
);
CREATE UNIQUE INDEX clusters_by_name ON clusters (name) WHERE deleted = 0;
CREATE INDEX clusters_due ON clusters (next_run_at) WHERE deleted = 0;

CREATE TABLE cluster_accounts (
    cluster TEXT NOT NULL REFERENCES clusters (uid),
    account TEXT NOT NULL REFERENCES accounts (name),
    PRIMARY KEY (cluster, account)
);
CREATE INDEX cluster_accounts_by_account ON cluster_accounts (account);

CREATE TABLE revisions (
    cluster    TEXT NOT NULL REFERENCES clusters (uid),
    generation BIGINT NOT NULL,
    spec       TEXT NOT NULL,
    who        TEXT NOT NULL,
    made       BIGINT NOT NULL,
    PRIMARY KEY (cluster, generation)
);

CREATE TABLE changes (
    id         BIGINT PRIMARY KEY,
    cluster    TEXT NOT NULL REFERENCES clusters (uid),
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL,
    state      TEXT NOT NULL,
    who        TEXT NOT NULL,
    created    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    error      TEXT NOT NULL
);
CREATE INDEX changes_by_cluster ON changes (cluster, id);

CREATE TABLE runs (
    id         BIGINT PRIMARY KEY,
    cluster    TEXT NOT NULL REFERENCES clusters (uid),
    reason     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    owner      TEXT NOT NULL,
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    outcome    TEXT NOT NULL,
    error      TEXT NOT NULL,
    api_calls  TEXT NOT NULL
);
CREATE INDEX runs_by_cluster ON runs (cluster, id);

CREATE TABLE steps (
    run     BIGINT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    id      TEXT NOT NULL,
    key     TEXT NOT NULL,
    kind    TEXT NOT NULL,
    site    TEXT NOT NULL,
    action  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    depends TEXT NOT NULL,
    state   TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended   BIGINT NOT NULL,
    error   TEXT NOT NULL,
    PRIMARY KEY (run, id)
);

CREATE TABLE intents (
    id        BIGINT PRIMARY KEY,
    cluster   TEXT NOT NULL REFERENCES clusters (uid),
    key       TEXT NOT NULL,
    kind      TEXT NOT NULL,
    site      TEXT NOT NULL,
    region    TEXT NOT NULL,
    action    TEXT NOT NULL,
    token     TEXT NOT NULL,
    state     TEXT NOT NULL,
    created   BIGINT NOT NULL,
    resolved  BIGINT NOT NULL,
    object_id TEXT NOT NULL
);
CREATE INDEX intents_by_cluster ON intents (cluster, id);
CREATE UNIQUE INDEX intents_open ON intents (cluster, key, action) WHERE state = 'open';

CREATE TABLE resources (
    cluster TEXT NOT NULL REFERENCES clusters (uid),
    key     TEXT NOT NULL,
    kind    TEXT NOT NULL,
    site    TEXT NOT NULL,
    region  TEXT NOT NULL,
    id      TEXT NOT NULL,
    made    BIGINT NOT NULL,
    object  TEXT NOT NULL,
    PRIMARY KEY (cluster, key)
);

CREATE TABLE nodes (
    cluster TEXT NOT NULL REFERENCES clusters (uid),
    name    TEXT NOT NULL,
    site    TEXT NOT NULL,
    role    TEXT NOT NULL,
    facts   TEXT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
);

CREATE TABLE secrets (
    cluster TEXT NOT NULL REFERENCES clusters (uid),
    name    TEXT NOT NULL,
    value   BYTEA NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
);

CREATE TABLE events (
    id      BIGINT PRIMARY KEY,
    cluster TEXT NOT NULL,
    time    BIGINT NOT NULL,
    type    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    object  TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX events_by_cluster ON events (cluster, id);

-- +goose Down
DROP TABLE events;
DROP TABLE secrets;
DROP TABLE nodes;
DROP TABLE resources;
DROP TABLE intents;
DROP TABLE steps;
DROP TABLE runs;
DROP TABLE changes;
DROP TABLE revisions;
DROP TABLE cluster_accounts;
DROP TABLE clusters;
DROP TABLE accounts;
DROP TABLE meta;
DROP TABLE ids;

-- Who may do what, and what was done. Tokens, sessions and links are there by the SHA-256 of their secrets, in hexadecimal;
-- passwords by argon2id. Nothing refers to a user by key: a session, link or token whose person isn't empty is that user's.
-- The database itself refuses to change the table "audit": see appendOnly in audit.go, since the two databases have
-- no common words for that.

-- +goose Up
CREATE TABLE users (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    password   TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    disabled   BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    last_login BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_subject ON users (issuer, subject) WHERE issuer <> '';

CREATE TABLE sessions (
    hash    TEXT PRIMARY KEY,
    person  TEXT NOT NULL,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL,
    via     TEXT NOT NULL,
    address TEXT NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL
);
CREATE INDEX sessions_by_person ON sessions (person);

CREATE TABLE api_tokens (
    name    TEXT PRIMARY KEY,
    hash    TEXT NOT NULL UNIQUE,
    role    TEXT NOT NULL,
    person  TEXT NOT NULL,
    maker   TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    used    BIGINT NOT NULL
);

CREATE TABLE links (
    hash    TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE TABLE login_failures (
    subject      TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL,
    last         BIGINT NOT NULL,
    paused_until BIGINT NOT NULL
);

CREATE TABLE audit (
    id        BIGINT PRIMARY KEY,
    time      BIGINT NOT NULL,
    who       TEXT NOT NULL,
    role      TEXT NOT NULL,
    via       TEXT NOT NULL,
    source    TEXT NOT NULL,
    operation TEXT NOT NULL,
    object    TEXT NOT NULL,
    status    BIGINT NOT NULL,
    error     TEXT NOT NULL,
    was       TEXT NOT NULL,
    became    TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_object ON audit (object);

-- +goose Down
DROP TABLE audit;
DROP TABLE login_failures;
DROP TABLE links;
DROP TABLE api_tokens;
DROP TABLE sessions;
DROP TABLE users;

-- Snapshots of a cluster's etcd, compressed and sealed: what a control plane is made of again when all of it is lost.

-- +goose Up
CREATE TABLE snapshots (
    id       BIGINT PRIMARY KEY,
    cluster  TEXT NOT NULL REFERENCES clusters (uid),
    member   TEXT NOT NULL,
    taken    BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    packed   BIGINT NOT NULL,
    value    BYTEA NOT NULL
);
CREATE INDEX snapshots_by_cluster ON snapshots (cluster, id);

-- +goose Down
DROP TABLE snapshots;

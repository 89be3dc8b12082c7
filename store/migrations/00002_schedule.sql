-- When clusters are reconciled, who paused one, and what is seen of them between runs.

-- +goose Up
-- scheduled is the database's time when next_run_at or lease_until was written last: a clock that shows less was set back.
ALTER TABLE clusters ADD COLUMN scheduled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clusters ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clusters ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE clusters ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';

-- A table of its own, since it is written every half minute and by whoever cares, not under the cluster's lease.
CREATE TABLE care (
    cluster    TEXT PRIMARY KEY REFERENCES clusters (uid),
    due        BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    conditions TEXT NOT NULL,
    memory     TEXT NOT NULL
);
CREATE INDEX care_due ON care (due);
INSERT INTO care (cluster, due, epoch, conditions, memory) SELECT uid, 0, 0, '[]', 'null' FROM clusters WHERE deleted = 0;

-- +goose Down
DROP TABLE care;
ALTER TABLE clusters DROP COLUMN pause_reason;
ALTER TABLE clusters DROP COLUMN paused_by;
ALTER TABLE clusters DROP COLUMN paused;
ALTER TABLE clusters DROP COLUMN scheduled;

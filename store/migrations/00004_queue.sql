-- What the queue of changes shows of each: in words what it asks for, when it was begun, the last run that worked on it, how
-- many of those failed, and which change took its place.

-- +goose Up
ALTER TABLE changes ADD COLUMN summary TEXT NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN begun BIGINT NOT NULL DEFAULT 0;
ALTER TABLE changes ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE changes ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE changes ADD COLUMN successor BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE changes DROP COLUMN successor;
ALTER TABLE changes DROP COLUMN tries;
ALTER TABLE changes DROP COLUMN run;
ALTER TABLE changes DROP COLUMN begun;
ALTER TABLE changes DROP COLUMN summary;

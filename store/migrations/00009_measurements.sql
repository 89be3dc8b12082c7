-- What this engine measured between regions of clouds, the last of each pair. Times are in microseconds; the regions are named
-- like "aws/us-east-1", the lesser first; the tail is the ninety-ninth percentile.

-- +goose Up
CREATE TABLE measurements (
    a        TEXT NOT NULL,
    b        TEXT NOT NULL,
    measured BIGINT NOT NULL,
    cluster  TEXT NOT NULL,
    sent     BIGINT NOT NULL,
    received BIGINT NOT NULL,
    median   BIGINT NOT NULL,
    tail     BIGINT NOT NULL,
    bits     BIGINT NOT NULL,
    PRIMARY KEY (a, b)
);

-- +goose Down
DROP TABLE measurements;

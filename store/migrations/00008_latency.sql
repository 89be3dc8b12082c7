-- What nodes measure between sites, at falling resolution.

-- +goose Up
-- One line for what was measured from one site to another from a moment on, for so many microseconds. Times, and lengths of
-- time, are in microseconds. handshake is how old the tunnel's last one was, -1 where there was none; mtu is 0 where nobody
-- found it out.
CREATE TABLE latency (
    cluster     TEXT NOT NULL REFERENCES clusters (uid),
    from_site   TEXT NOT NULL,
    to_site     TEXT NOT NULL,
    start       BIGINT NOT NULL,
    step        BIGINT NOT NULL,
    sent        BIGINT NOT NULL,
    lost        BIGINT NOT NULL,
    median         BIGINT NOT NULL,
    slow         BIGINT NOT NULL,
    jitter      BIGINT NOT NULL,
    least       BIGINT NOT NULL,
    out_sent    BIGINT NOT NULL,
    out_lost    BIGINT NOT NULL,
    out_median     BIGINT NOT NULL,
    out_slow     BIGINT NOT NULL,
    out_jitter  BIGINT NOT NULL,
    out_least   BIGINT NOT NULL,
    handshake   BIGINT NOT NULL,
    mtu         BIGINT NOT NULL,
    PRIMARY KEY (cluster, from_site, to_site, start, step)
);
CREATE INDEX latency_by_time ON latency (cluster, start);
CREATE INDEX latency_by_age ON latency (start);

-- +goose Down
DROP TABLE latency;

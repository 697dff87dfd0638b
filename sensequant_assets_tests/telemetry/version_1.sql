-- The first layout, frozen: no window_runs.model_path, no verdicts.
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE batches (
    batch_id VARCHAR PRIMARY KEY,
    backfill_id VARCHAR,
    source VARCHAR,
    universe VARCHAR,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    last_event_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    planned_teachers INTEGER,
    planned_students INTEGER,
    settings JSON,
    parameters JSON,
    versions JSON,
    max_failure_rate DOUBLE
);

CREATE TABLE runs (
    batch_id VARCHAR,
    run_id VARCHAR,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    wall_s DOUBLE,
    cpu_s DOUBLE,
    pid INTEGER,
    workers INTEGER,
    PRIMARY KEY (batch_id, run_id)
);

CREATE TABLE planned_windows (
    batch_id VARCHAR,
    run_id VARCHAR NOT NULL,
    model VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    PRIMARY KEY (batch_id, model, symbol, window_start)
);

CREATE TABLE window_runs (
    batch_id VARCHAR,
    run_id VARCHAR,
    backfill_id VARCHAR,
    model VARCHAR,
    universe VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    window_end DATE,
    effective_start DATE,
    effective_end DATE,
    outcome VARCHAR NOT NULL,
    reason VARCHAR,
    failure_kind VARCHAR,
    error_type VARCHAR,
    error_message VARCHAR,
    attempt INTEGER,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ NOT NULL,
    duration_s DOUBLE,
    cpu_s DOUBLE,
    train_rows INTEGER,
    valid_rows INTEGER,
    test_rows INTEGER,
    metrics JSON,
    parameters JSON,
    data_fingerprint VARCHAR,
    parameters_fingerprint VARCHAR,
    code_fingerprint VARCHAR,
    trees_fingerprint VARCHAR,
    device VARCHAR,
    early_life BOOLEAN,
    open BOOLEAN,
    PRIMARY KEY (batch_id, run_id, model, symbol, window_start, attempt)
);

CREATE TABLE events (
    happened_at TIMESTAMPTZ,
    batch_id VARCHAR,
    run_id VARCHAR,
    level VARCHAR,
    kind VARCHAR,
    symbol VARCHAR,
    window_start DATE,
    message VARCHAR,
    data JSON,
    shard VARCHAR,
    shard_offset BIGINT,
    PRIMARY KEY (shard, shard_offset)
);

CREATE TABLE shards (
    name VARCHAR PRIMARY KEY,
    offset_bytes BIGINT NOT NULL,
    complete BOOLEAN NOT NULL,
    broken_lines INTEGER NOT NULL,
    batch_id VARCHAR,
    run_id VARCHAR
);

INSERT INTO schema_version VALUES (1);

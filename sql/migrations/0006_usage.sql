-- The ledger: every acknowledged use of a virtual key, once. Rows are never changed; a correction is a row of its own.

-- Which request ids are in the ledger, and the fingerprint of what was reported under each: the repeat of a report finds
-- itself here, a different report under the same id is told apart. Kept apart from the ledger because a partitioned
-- table cannot be unique across its partitions.
CREATE TABLE usage_requests (
    request_id text PRIMARY KEY CHECK (char_length(request_id) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_requests_recorded_at ON usage_requests USING brin (recorded_at);

-- Made to be partitioned by the day it was recorded; until days are, all is in the default partition. No foreign keys: usage outlives the virtual key it was made with.
-- The charge_* arrays run in parallel: what was added to which meter, in which window.
CREATE TABLE usage_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    request_id text NOT NULL,
    tenant_id text NOT NULL,
    virtual_key_id text NOT NULL,
    team_id text,
    customer_id text,
    provider text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'success' CHECK (status IN ('success', 'error', 'cancelled', 'expired')),
    input_tokens bigint NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    cached_input_tokens bigint NOT NULL DEFAULT 0 CHECK (cached_input_tokens >= 0),
    cost_nanousd bigint NOT NULL DEFAULT 0 CHECK (cost_nanousd BETWEEN 0 AND 1000000000000000),
    priced boolean NOT NULL DEFAULT true,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    metadata jsonb,
    charge_meter_ids text[] NOT NULL DEFAULT '{}',
    charge_epochs integer[] NOT NULL DEFAULT '{}',
    charge_window_starts timestamptz[] NOT NULL DEFAULT '{}',
    charge_amounts bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (recorded_at, id)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX usage_events_tenant ON usage_events (tenant_id, recorded_at, id);
-- Nothing is refused for want of a day's partition.
CREATE TABLE usage_events_default PARTITION OF usage_events DEFAULT;

-- What reports are made from: sums per day (UTC, of occurred_at) and virtual key, provider and model.
CREATE TABLE usage_daily (
    day date NOT NULL,
    tenant_id text NOT NULL,
    virtual_key_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    team_id text,
    customer_id text,
    requests bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    cost_nanousd bigint NOT NULL DEFAULT 0,
    -- A virtual key that moves within a day has a row for each owner it had.
    CONSTRAINT usage_daily_once
        UNIQUE NULLS NOT DISTINCT (day, tenant_id, virtual_key_id, provider, model, team_id, customer_id)
);

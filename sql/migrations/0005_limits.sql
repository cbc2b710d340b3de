-- Limits and what counts against them. A meter is one number held against one limit; its id is derived from the limit:
-- `budget:<budget id>`, `tokens:<rate limit id>`, `requests:<rate limit id>`, `parallel:<kind>:<owner id>`.
-- `epoch` goes up on a manual reset and whenever the meter's period changes; usage is counted per (meter, epoch, window).

CREATE TABLE budgets (
    id entity_id PRIMARY KEY,
    tenant_id text NOT NULL,
    customer_id entity_id REFERENCES customers ON DELETE CASCADE,
    team_id entity_id REFERENCES teams ON DELETE CASCADE,
    virtual_key_id entity_id REFERENCES virtual_keys ON DELETE CASCADE,
    provider_config_id bigint REFERENCES virtual_key_provider_configs ON DELETE CASCADE,
    model_config_id entity_id REFERENCES model_configs ON DELETE CASCADE,
    position integer NOT NULL DEFAULT 0,
    max_limit_nanousd bigint NOT NULL CHECK (max_limit_nanousd BETWEEN 1 AND 9000000000000000000),
    reset_duration reset_duration NOT NULL,
    quarter_start_month smallint CHECK (quarter_start_month BETWEEN 1 AND 12),
    anchored_at instant NOT NULL DEFAULT now(),
    epoch integer NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    shadow boolean NOT NULL DEFAULT false,
    override_mode text CHECK (override_mode IN ('cycles', 'forever')),
    override_amount_nanousd bigint CHECK (override_amount_nanousd BETWEEN 1 AND 9000000000000000000),
    override_cycles_total integer CHECK (override_cycles_total > 0),
    override_anchor_reset instant,
    config_hash text NOT NULL DEFAULT '',
    created_at instant NOT NULL DEFAULT now(),
    updated_at instant NOT NULL DEFAULT now(),
    CONSTRAINT budgets_one_owner
        CHECK (num_nonnulls(customer_id, team_id, virtual_key_id, provider_config_id, model_config_id) = 1),
    CONSTRAINT budgets_override CHECK (
        CASE override_mode
            WHEN 'cycles' THEN num_nonnulls(override_amount_nanousd, override_cycles_total, override_anchor_reset) = 3
            WHEN 'forever' THEN override_amount_nanousd IS NOT NULL AND override_cycles_total IS NULL
            ELSE num_nonnulls(override_amount_nanousd, override_cycles_total, override_anchor_reset) = 0
        END),
    CONSTRAINT budgets_quarter CHECK (quarter_start_month IS NULL OR reset_duration ~ '(Q|quarterly)$')
);
CREATE INDEX budgets_tenant ON budgets (tenant_id);
CREATE INDEX budgets_customer ON budgets (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX budgets_team ON budgets (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX budgets_virtual_key ON budgets (virtual_key_id) WHERE virtual_key_id IS NOT NULL;
CREATE INDEX budgets_provider_config ON budgets (provider_config_id) WHERE provider_config_id IS NOT NULL;
CREATE INDEX budgets_model_config ON budgets (model_config_id) WHERE model_config_id IS NOT NULL;

-- A customer, team, virtual key or provider config has at most one; a model config may have many of one metric each.
CREATE TABLE rate_limits (
    id entity_id PRIMARY KEY,
    tenant_id text NOT NULL,
    customer_id entity_id UNIQUE REFERENCES customers ON DELETE CASCADE,
    team_id entity_id UNIQUE REFERENCES teams ON DELETE CASCADE,
    virtual_key_id entity_id UNIQUE REFERENCES virtual_keys ON DELETE CASCADE,
    provider_config_id bigint UNIQUE REFERENCES virtual_key_provider_configs ON DELETE CASCADE,
    model_config_id entity_id REFERENCES model_configs ON DELETE CASCADE,
    metric text CHECK (metric IN ('tokens', 'requests')),
    token_max_limit bigint CHECK (token_max_limit BETWEEN 1 AND 9007199254740991),
    token_reset_duration reset_duration,
    token_epoch integer NOT NULL DEFAULT 1 CHECK (token_epoch >= 1),
    request_max_limit bigint CHECK (request_max_limit BETWEEN 1 AND 9007199254740991),
    request_reset_duration reset_duration,
    request_epoch integer NOT NULL DEFAULT 1 CHECK (request_epoch >= 1),
    anchored_at instant NOT NULL DEFAULT now(),
    shadow boolean NOT NULL DEFAULT false,
    config_hash text NOT NULL DEFAULT '',
    created_at instant NOT NULL DEFAULT now(),
    updated_at instant NOT NULL DEFAULT now(),
    CONSTRAINT rate_limits_one_owner
        CHECK (num_nonnulls(customer_id, team_id, virtual_key_id, provider_config_id, model_config_id) = 1),
    CONSTRAINT rate_limits_some_limit CHECK (num_nonnulls(token_max_limit, request_max_limit) >= 1),
    CONSTRAINT rate_limits_token_pair CHECK ((token_max_limit IS NULL) = (token_reset_duration IS NULL)),
    CONSTRAINT rate_limits_request_pair CHECK ((request_max_limit IS NULL) = (request_reset_duration IS NULL)),
    CONSTRAINT rate_limits_no_quarters CHECK (
        coalesce(token_reset_duration, '') !~ '(Q|quarterly)$' AND coalesce(request_reset_duration, '') !~ '(Q|quarterly)$'),
    CONSTRAINT rate_limits_metric CHECK (
        CASE metric
            WHEN 'tokens' THEN model_config_id IS NOT NULL AND request_max_limit IS NULL
            WHEN 'requests' THEN model_config_id IS NOT NULL AND token_max_limit IS NULL
            ELSE true
        END)
);
CREATE INDEX rate_limits_tenant ON rate_limits (tenant_id);
CREATE INDEX rate_limits_model_config ON rate_limits (model_config_id) WHERE model_config_id IS NOT NULL;

-- Budgets and rate limits name their owner in the same columns.
CREATE FUNCTION owner_changed(before anyelement, after anyelement) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS $$
    SELECT (before.customer_id, before.team_id, before.virtual_key_id, before.provider_config_id, before.model_config_id)
           IS DISTINCT FROM
           (after.customer_id, after.team_id, after.virtual_key_id, after.provider_config_id, after.model_config_id)
$$;

CREATE FUNCTION derive_limit_tenant() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NOT owner_changed(OLD, NEW) THEN
        NEW.tenant_id := keep_or_move(OLD.tenant_id, NEW.tenant_id);
        RETURN NEW;
    END IF;
    -- The lock is also on the calendar the limit follows: it changes before this, or after.
    IF NEW.customer_id IS NOT NULL THEN
        SELECT tenant_id INTO NEW.tenant_id FROM customers WHERE id = NEW.customer_id FOR SHARE;
    ELSIF NEW.team_id IS NOT NULL THEN
        SELECT tenant_id INTO NEW.tenant_id FROM teams WHERE id = NEW.team_id FOR SHARE;
    ELSIF NEW.virtual_key_id IS NOT NULL THEN
        SELECT tenant_id INTO NEW.tenant_id FROM virtual_keys WHERE id = NEW.virtual_key_id FOR SHARE;
    ELSIF NEW.provider_config_id IS NOT NULL THEN
        -- Outwards in, as a move locks them.
        PERFORM FROM virtual_keys
          WHERE id = (SELECT virtual_key_id FROM virtual_key_provider_configs WHERE id = NEW.provider_config_id)
            FOR SHARE;
        SELECT tenant_id INTO NEW.tenant_id
          FROM virtual_key_provider_configs WHERE id = NEW.provider_config_id FOR SHARE;
    ELSE
        SELECT tenant_id INTO NEW.tenant_id FROM model_configs WHERE id = NEW.model_config_id FOR SHARE;
    END IF;
    -- No such owner, or none named: the constraints say so in their own words.
    NEW.tenant_id := coalesce(NEW.tenant_id, 'global');
    RETURN NEW;
END $$;
CREATE TRIGGER derive_tenant BEFORE INSERT OR UPDATE ON budgets
    FOR EACH ROW EXECUTE FUNCTION derive_limit_tenant();
CREATE TRIGGER derive_tenant BEFORE INSERT OR UPDATE ON rate_limits
    FOR EACH ROW EXECUTE FUNCTION derive_limit_tenant();

-- A changed period is a new epoch: what was counted on the old lattice is never compared with the new one. So is another
-- owner, whose calendar may be another.
CREATE FUNCTION start_budget_epoch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.epoch := greatest(NEW.epoch, OLD.epoch + 1);
    RETURN NEW;
END $$;
CREATE TRIGGER start_epoch BEFORE UPDATE ON budgets FOR EACH ROW
    WHEN ((OLD.reset_duration, OLD.quarter_start_month, OLD.anchored_at, OLD.customer_id, OLD.team_id,
           OLD.virtual_key_id, OLD.provider_config_id, OLD.model_config_id)
          IS DISTINCT FROM
          (NEW.reset_duration, NEW.quarter_start_month, NEW.anchored_at, NEW.customer_id, NEW.team_id,
           NEW.virtual_key_id, NEW.provider_config_id, NEW.model_config_id))
    EXECUTE FUNCTION start_budget_epoch();

CREATE FUNCTION start_rate_limit_epochs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.token_reset_duration, OLD.anchored_at) IS DISTINCT FROM (NEW.token_reset_duration, NEW.anchored_at)
       OR owner_changed(OLD, NEW) THEN
        NEW.token_epoch := greatest(NEW.token_epoch, OLD.token_epoch + 1);
    END IF;
    IF (OLD.request_reset_duration, OLD.anchored_at) IS DISTINCT FROM (NEW.request_reset_duration, NEW.anchored_at)
       OR owner_changed(OLD, NEW) THEN
        NEW.request_epoch := greatest(NEW.request_epoch, OLD.request_epoch + 1);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER start_epoch BEFORE UPDATE ON rate_limits FOR EACH ROW EXECUTE FUNCTION start_rate_limit_epochs();

-- The owner's alignment and time zone are part of its limits' period. Argument: the column that names the owner.
CREATE FUNCTION start_epochs_of_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- All rows before the first change, as a move does.
    EXECUTE format('SELECT FROM budgets WHERE %I = $1 ORDER BY id FOR NO KEY UPDATE', TG_ARGV[0]) USING NEW.id;
    EXECUTE format('SELECT FROM rate_limits WHERE %I = $1 ORDER BY id FOR NO KEY UPDATE', TG_ARGV[0]) USING NEW.id;
    IF TG_ARGV[0] = 'virtual_key_id' THEN
        PERFORM lock_rows_of_virtual_keys(ARRAY[NEW.id::text]);
    END IF;
    EXECUTE format('UPDATE budgets SET epoch = epoch + 1 WHERE %I = $1', TG_ARGV[0]) USING NEW.id;
    EXECUTE format('UPDATE rate_limits SET token_epoch = token_epoch + 1, request_epoch = request_epoch + 1 '
                   'WHERE %I = $1', TG_ARGV[0]) USING NEW.id;
    IF TG_ARGV[0] = 'virtual_key_id' THEN
        UPDATE budgets SET epoch = epoch + 1
         WHERE provider_config_id IN (SELECT id FROM virtual_key_provider_configs WHERE virtual_key_id = NEW.id);
        UPDATE rate_limits SET token_epoch = token_epoch + 1, request_epoch = request_epoch + 1
         WHERE provider_config_id IN (SELECT id FROM virtual_key_provider_configs WHERE virtual_key_id = NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER start_epochs AFTER UPDATE ON customers FOR EACH ROW
    WHEN ((OLD.calendar_aligned, OLD.time_zone) IS DISTINCT FROM (NEW.calendar_aligned, NEW.time_zone))
    EXECUTE FUNCTION start_epochs_of_owner('customer_id');
CREATE TRIGGER start_epochs AFTER UPDATE ON teams FOR EACH ROW
    WHEN ((OLD.calendar_aligned, OLD.time_zone) IS DISTINCT FROM (NEW.calendar_aligned, NEW.time_zone))
    EXECUTE FUNCTION start_epochs_of_owner('team_id');
CREATE TRIGGER start_epochs AFTER UPDATE ON virtual_keys FOR EACH ROW
    WHEN ((OLD.calendar_aligned, OLD.time_zone) IS DISTINCT FROM (NEW.calendar_aligned, NEW.time_zone))
    EXECUTE FUNCTION start_epochs_of_owner('virtual_key_id');
CREATE TRIGGER start_epochs AFTER UPDATE ON model_configs FOR EACH ROW
    WHEN ((OLD.calendar_aligned, OLD.time_zone) IS DISTINCT FROM (NEW.calendar_aligned, NEW.time_zone))
    EXECUTE FUNCTION start_epochs_of_owner('model_config_id');

CREATE TRIGGER touch BEFORE UPDATE ON budgets FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON rate_limits FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CALL bump_tenants_on_change_of('budgets');
CALL bump_tenants_on_change_of('rate_limits');

-- The running total of one meter in one window: nano-dollars for a budget, tokens or requests for a rate limit.
-- Not configuration: it bumps no revision. No foreign key: usage of a deleted limit is still history.
CREATE TABLE meter_windows (
    meter_id text NOT NULL,
    epoch integer NOT NULL,
    window_start timestamptz NOT NULL,
    used bigint NOT NULL CHECK (used >= 0),
    updated_at instant NOT NULL DEFAULT now(),
    PRIMARY KEY (meter_id, epoch, window_start)
);
CREATE INDEX meter_windows_updated_at ON meter_windows (updated_at);

-- Which tenant a meter is in now, at which layout of it; nothing for a limit that is gone. By the primary key of the limit
-- the meter's id names, at any size of the tables.
CREATE FUNCTION meter_tenant(meter_id text) RETURNS TABLE (tenant_id text, layout bigint)
    LANGUAGE sql STABLE STRICT ROWS 1 AS $$
    SELECT tenants.id, tenants.layout
      FROM tenants
     WHERE tenants.id = CASE split_part(meter_id, ':', 1)
           WHEN 'budget' THEN (SELECT budgets.tenant_id FROM budgets WHERE budgets.id = substr(meter_id, 8))
           WHEN 'tokens' THEN (SELECT limits.tenant_id FROM rate_limits AS limits WHERE limits.id = substr(meter_id, 8))
           WHEN 'requests' THEN (SELECT limits.tenant_id FROM rate_limits AS limits WHERE limits.id = substr(meter_id, 10))
           END
$$;

-- A limit that moves to another tenant takes its meter along: both tenants have another set of meters then.
CREATE FUNCTION move_meters() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    moved text[];
BEGIN
    SELECT array_agg(DISTINCT tenant_id) INTO moved
      FROM (SELECT unnest(ARRAY[old_rows.tenant_id, new_rows.tenant_id]) AS tenant_id
              FROM old_rows JOIN new_rows USING (id)
             WHERE old_rows.tenant_id <> new_rows.tenant_id) AS both_sides;
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM tenants WHERE id = ANY (moved) ORDER BY id FOR NO KEY UPDATE;
    UPDATE tenants SET layout = greatest(layout + 1, clock_number()) WHERE id = ANY (moved);
    RETURN NULL;
END $$;
-- A limit made again under the id of one that was deleted does not find the counters of that one.
CREATE FUNCTION forget_meters() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    emptied text[];
BEGIN
    SELECT array_agg(DISTINCT tenant_id) INTO emptied FROM old_rows;
    PERFORM FROM tenants WHERE id = ANY (emptied) ORDER BY id FOR NO KEY UPDATE;
    UPDATE tenants SET layout = greatest(layout + 1, clock_number()) WHERE id = ANY (emptied);
    RETURN NULL;
END $$;
CREATE TRIGGER forget_meters AFTER DELETE ON budgets REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION forget_meters();
CREATE TRIGGER forget_meters AFTER DELETE ON rate_limits REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION forget_meters();

CREATE TRIGGER move_meters AFTER UPDATE ON budgets REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION move_meters();
CREATE TRIGGER move_meters AFTER UPDATE ON rate_limits REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION move_meters();

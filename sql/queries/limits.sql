-- Budgets and rate limits of one owner: writes, and what a write has to look at first. The owner is named by the one of
-- the owner columns that is not NULL.

-- name: list_owner_budgets(customer_id, team_id, virtual_key_id, provider_config_id, model_config_id)
-- What the owner has now, in the order it is shown in; locked until the change is done.
-- Uses budgets_customer, budgets_team, budgets_virtual_key, budgets_provider_config or budgets_model_config.
SELECT id, position, max_limit_nanousd, reset_duration, quarter_start_month, alert_thresholds, shadow
  FROM budgets
 WHERE customer_id = :customer_id::text OR team_id = :team_id::text OR virtual_key_id = :virtual_key_id::text
    OR provider_config_id = :provider_config_id::bigint OR model_config_id = :model_config_id::text
 ORDER BY position, created_at, id
   FOR NO KEY UPDATE;

-- name: list_owner_rate_limits(customer_id, team_id, virtual_key_id, provider_config_id, model_config_id)
-- What the owner has now: one row at most, but for a model config; locked until the change is done.
-- Uses rate_limits_customer_id_key, rate_limits_team_id_key, rate_limits_virtual_key_id_key,
-- rate_limits_provider_config_id_key or rate_limits_model_config.
SELECT id, metric, token_max_limit, token_reset_duration, request_max_limit, request_reset_duration, shadow
  FROM rate_limits
 WHERE customer_id = :customer_id::text OR team_id = :team_id::text OR virtual_key_id = :virtual_key_id::text
    OR provider_config_id = :provider_config_id::bigint OR model_config_id = :model_config_id::text
 ORDER BY created_at, id
   FOR NO KEY UPDATE;

-- name: insert_budget(budget_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, position, max_limit_nanousd, reset_duration, quarter_start_month, alert_thresholds, shadow, created_at)!
-- Its windows are anchored at its creation.
-- Uses budgets_pkey.
INSERT INTO budgets (id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, position,
                     max_limit_nanousd, reset_duration, quarter_start_month, alert_thresholds, shadow, anchored_at,
                     created_at, updated_at)
VALUES (:budget_id::text, :customer_id::text, :team_id::text, :virtual_key_id::text, :provider_config_id::bigint,
        :model_config_id::text, :position::integer, :max_limit_nanousd::bigint, :reset_duration::text,
        :quarter_start_month::smallint, :alert_thresholds::integer[], :shadow::boolean, :created_at::timestamptz,
        :created_at, :created_at);

-- name: update_budget(budget_id, position, max_limit_nanousd, reset_duration, quarter_start_month, alert_thresholds, shadow)!
-- A changed period starts a new epoch (trigger); a budget that is as it should be is not written.
-- Uses budgets_pkey.
UPDATE budgets
   SET position = :position::integer, max_limit_nanousd = :max_limit_nanousd::bigint,
       reset_duration = :reset_duration::text, quarter_start_month = :quarter_start_month::smallint,
       alert_thresholds = :alert_thresholds::integer[], shadow = :shadow::boolean
 WHERE id = :budget_id::text
   AND (position, max_limit_nanousd, reset_duration, quarter_start_month, alert_thresholds, shadow)
       IS DISTINCT FROM
       (:position, :max_limit_nanousd, :reset_duration, :quarter_start_month, :alert_thresholds, :shadow);

-- name: delete_budgets(budget_ids)!
-- Their past usage stays in the ledger.
-- Uses budgets_pkey.
DELETE FROM budgets WHERE id = ANY (:budget_ids::text[]);

-- name: start_budget_epochs(budget_ids)!
-- Counts anew from zero; the windows stay where they are.
-- Uses budgets_pkey.
UPDATE budgets SET epoch = epoch + 1 WHERE id = ANY (:budget_ids::text[]);

-- name: insert_rate_limit(rate_limit_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, metric, token_max_limit, token_reset_duration, request_max_limit, request_reset_duration, shadow, created_at)!
-- Its windows are anchored at its creation.
-- Uses rate_limits_pkey.
INSERT INTO rate_limits (id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, metric,
                         token_max_limit, token_reset_duration, request_max_limit, request_reset_duration, shadow,
                         anchored_at, created_at, updated_at)
VALUES (:rate_limit_id::text, :customer_id::text, :team_id::text, :virtual_key_id::text, :provider_config_id::bigint,
        :model_config_id::text, :metric::text, :token_max_limit::bigint, :token_reset_duration::text,
        :request_max_limit::bigint, :request_reset_duration::text, :shadow::boolean, :created_at::timestamptz,
        :created_at, :created_at);

-- name: update_rate_limit(rate_limit_id, token_max_limit, token_reset_duration, request_max_limit, request_reset_duration, shadow)!
-- A changed period starts a new epoch of its metric (trigger); a rate limit that is as it should be is not written.
-- Uses rate_limits_pkey.
UPDATE rate_limits
   SET token_max_limit = :token_max_limit::bigint, token_reset_duration = :token_reset_duration::text,
       request_max_limit = :request_max_limit::bigint, request_reset_duration = :request_reset_duration::text,
       shadow = :shadow::boolean
 WHERE id = :rate_limit_id::text
   AND (token_max_limit, token_reset_duration, request_max_limit, request_reset_duration, shadow)
       IS DISTINCT FROM
       (:token_max_limit, :token_reset_duration, :request_max_limit, :request_reset_duration, :shadow);

-- name: delete_rate_limits(rate_limit_ids)!
-- Their past usage stays in the ledger.
-- Uses rate_limits_pkey.
DELETE FROM rate_limits WHERE id = ANY (:rate_limit_ids::text[]);

-- name: carry_usage(meter_ids, epochs, window_starts, used)!
-- What was used before a meter's period changed counts in its new epoch too; the arrays run in parallel.
-- Uses meter_windows_pkey.
INSERT INTO meter_windows AS total (meter_id, epoch, window_start, used, carried)
SELECT meter_id, epoch, window_start, used, used
  FROM unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[], :used::bigint[])
       AS carried (meter_id, epoch, window_start, used)
 ORDER BY meter_id
    ON CONFLICT (meter_id, epoch, window_start) DO UPDATE
   SET used = total.used + excluded.used, carried = total.carried + excluded.carried, updated_at = now();

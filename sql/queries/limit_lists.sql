-- All budgets and rate limits, whoever's they are: read in pieces, in the order of their ids.

-- name: list_budget_ids(after, page_limit)
-- The ids of one piece; `after` is the last of the piece before.
-- Uses budgets_pkey (index only).
SELECT id FROM budgets WHERE id > :after::text ORDER BY id LIMIT :page_limit::bigint;

-- name: list_rate_limit_ids(after, page_limit)
-- The ids of one piece; `after` is the last of the piece before.
-- Uses rate_limits_pkey (index only).
SELECT id FROM rate_limits WHERE id > :after::text ORDER BY id LIMIT :page_limit::bigint;

-- name: list_aligned_budgets(budget_ids)
-- Budgets with the calendar they follow: their owner's, or that of the virtual key their provider config belongs to.
-- Uses budgets_pkey and the primary keys of the owners' tables.
SELECT budgets.id, budgets.tenant_id, budgets.customer_id, budgets.team_id, budgets.virtual_key_id,
       budgets.provider_config_id, budgets.model_config_id, budgets.max_limit_nanousd, budgets.reset_duration,
       budgets.quarter_start_month, budgets.anchored_at, budgets.epoch, budgets.override_mode,
       budgets.override_amount_nanousd, budgets.override_cycles_total, budgets.override_anchor_reset,
       budgets.alert_thresholds, budgets.shadow, budgets.config_hash, budgets.created_at, budgets.updated_at,
       coalesce(customers.calendar_aligned, teams.calendar_aligned, keys.calendar_aligned, models.calendar_aligned)
           AS calendar_aligned,
       coalesce(customers.time_zone, teams.time_zone, keys.time_zone, models.time_zone) AS time_zone
  FROM budgets
  LEFT JOIN customers ON customers.id = budgets.customer_id
  LEFT JOIN teams ON teams.id = budgets.team_id
  LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = budgets.provider_config_id
  LEFT JOIN virtual_keys AS keys ON keys.id = coalesce(budgets.virtual_key_id, configs.virtual_key_id)
  LEFT JOIN model_configs AS models ON models.id = budgets.model_config_id
 WHERE budgets.id = ANY (:budget_ids::text[]);

-- name: list_aligned_rate_limits(rate_limit_ids)
-- Rate limits with the calendar they follow, as list_aligned_budgets.
-- Uses rate_limits_pkey and the primary keys of the owners' tables.
SELECT limits.id, limits.tenant_id, limits.metric, limits.token_max_limit, limits.token_reset_duration,
       limits.token_epoch, limits.request_max_limit, limits.request_reset_duration, limits.request_epoch,
       limits.anchored_at, limits.shadow, limits.config_hash, limits.created_at, limits.updated_at,
       coalesce(customers.calendar_aligned, teams.calendar_aligned, keys.calendar_aligned, models.calendar_aligned)
           AS calendar_aligned,
       coalesce(customers.time_zone, teams.time_zone, keys.time_zone, models.time_zone) AS time_zone
  FROM rate_limits AS limits
  LEFT JOIN customers ON customers.id = limits.customer_id
  LEFT JOIN teams ON teams.id = limits.team_id
  LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = limits.provider_config_id
  LEFT JOIN virtual_keys AS keys ON keys.id = coalesce(limits.virtual_key_id, configs.virtual_key_id)
  LEFT JOIN model_configs AS models ON models.id = limits.model_config_id
 WHERE limits.id = ANY (:rate_limit_ids::text[]);

-- Reports of usage, from the sums of hours and days.

-- name: plan_for_these_values()$
-- Has every statement of the transaction planned for the values it comes with: which index serves depends on what is
-- asked for.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: list_usage_sums(from_hours, from_midnights, to_midnights, to_hours, of_keys, customer_id, team_id, virtual_key_id, provider, model, virtual_key_ids, by_customer, by_team, by_virtual_key, by_provider, by_model, after_virtual_key_id, after_team_id, after_customer_id, after_provider, after_model, page_limit)
-- One page of sums, in the order of the parts of time (the arrays run in parallel, see usage_sums) and of what they are
-- grouped by; '' stands for none and for what is not grouped by. It comes after the given group of the first part. Parts
-- are summed up one by one, until the page is full.
-- Uses usage_daily_virtual_key, usage_daily_team, usage_daily_customer or usage_daily_once, and those of the same columns
-- of usage_daily_by_owner and usage_hourly.
SELECT parts.place, sums.*
  FROM unnest(:from_hours::timestamptz[], :from_midnights::timestamptz[], :to_midnights::timestamptz[],
              :to_hours::timestamptz[])
       WITH ORDINALITY AS parts (from_hour, from_midnight, to_midnight, to_hour, place)
 CROSS JOIN LATERAL (
       SELECT virtual_key_id, team_id, customer_id, provider, model, sum(requests) AS requests, sum(errors) AS errors,
              sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
              sum(cached_input_tokens) AS cached_input_tokens, sum(cost_nanousd) AS cost_nanousd
         FROM (SELECT CASE WHEN :by_virtual_key::boolean THEN virtual_key_id ELSE '' END AS virtual_key_id,
                      CASE WHEN :by_team::boolean THEN coalesce(team_id, '') ELSE '' END AS team_id,
                      CASE WHEN :by_customer::boolean THEN coalesce(customer_id, '') ELSE '' END AS customer_id,
                      CASE WHEN :by_provider::boolean THEN provider ELSE '' END AS provider,
                      CASE WHEN :by_model::boolean THEN model ELSE '' END AS model,
                      requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd
                 FROM usage_sums(parts.from_hour, parts.from_midnight, parts.to_midnight, parts.to_hour,
                                 :of_keys::boolean)
                WHERE (:customer_id::text IS NULL OR customer_id = :customer_id)
                  AND (:team_id::text IS NULL OR team_id = :team_id)
                  AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
                  AND (:provider::text IS NULL OR provider = :provider)
                  AND (:model::text IS NULL OR model = :model)
                  AND (:virtual_key_ids::text[] IS NULL OR virtual_key_id = ANY (:virtual_key_ids))) AS used
        WHERE :after_virtual_key_id::text IS NULL OR parts.place > 1
           OR (virtual_key_id, team_id, customer_id, provider, model)
              > (:after_virtual_key_id, :after_team_id::text, :after_customer_id::text, :after_provider::text,
                 :after_model::text)
        GROUP BY virtual_key_id, team_id, customer_id, provider, model
       -- Without anything to group by there is one group, of nothing too.
       HAVING count(*) > 0
        ORDER BY virtual_key_id, team_id, customer_id, provider, model
        LIMIT :page_limit::bigint) AS sums
 ORDER BY parts.place, virtual_key_id, team_id, customer_id, provider, model
 LIMIT :page_limit;

-- name: total_usage(from_hour, from_midnight, to_midnight, to_hour, of_keys, customer_id, team_id, virtual_key_id, provider, model)^
-- The sum of all that list_usage_sums has in its pages.
-- Uses usage_daily_virtual_key, usage_daily_by_owner_team, usage_daily_by_owner_customer or usage_daily_by_owner_once, and
-- those of the same columns of usage_hourly.
SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(errors), 0) AS errors,
       coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
       coalesce(sum(cached_input_tokens), 0) AS cached_input_tokens, coalesce(sum(cost_nanousd), 0) AS cost_nanousd
  FROM usage_sums(:from_hour::timestamptz, :from_midnight::timestamptz, :to_midnight::timestamptz,
                  :to_hour::timestamptz, :of_keys::boolean)
 WHERE (:customer_id::text IS NULL OR customer_id = :customer_id)
   AND (:team_id::text IS NULL OR team_id = :team_id)
   AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
   AND (:provider::text IS NULL OR provider = :provider)
   AND (:model::text IS NULL OR model = :model);

-- name: list_used_virtual_keys(from_hour, to_hour, provider, model, first_virtual_key_id, page_limit)
-- The next virtual keys that were used on a day of these hours, from the first one named on, each found from the one
-- before: work grows with how many are asked for, not with how many there are.
-- Uses usage_daily_virtual_key.
WITH RECURSIVE used AS (
    (SELECT virtual_key_id, 1 AS place
       FROM usage_daily
      WHERE virtual_key_id >= :first_virtual_key_id::text
        AND day BETWEEN (:from_hour::timestamptz AT TIME ZONE 'UTC')::date
                    AND (:to_hour::timestamptz AT TIME ZONE 'UTC')::date
        AND (:provider::text IS NULL OR provider = :provider) AND (:model::text IS NULL OR model = :model)
      ORDER BY virtual_key_id
      LIMIT 1)
     UNION ALL
    SELECT following.virtual_key_id, used.place + 1
      FROM used CROSS JOIN LATERAL (
           SELECT virtual_key_id
             FROM usage_daily
            WHERE virtual_key_id > used.virtual_key_id
              AND day BETWEEN (:from_hour AT TIME ZONE 'UTC')::date AND (:to_hour AT TIME ZONE 'UTC')::date
              AND (:provider IS NULL OR provider = :provider) AND (:model IS NULL OR model = :model)
            ORDER BY virtual_key_id
            LIMIT 1) AS following
     WHERE used.place < :page_limit::bigint
)
SELECT virtual_key_id FROM used ORDER BY place;

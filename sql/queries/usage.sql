-- What was used, from the daily roll-up.

-- name: list_model_usage(virtual_key_id, since)
-- What a virtual key has used of each model since that day (UTC), most expensive first.
-- Uses usage_daily_virtual_key.
SELECT model, provider, sum(requests)::bigint AS total_requests,
       sum(input_tokens + output_tokens)::bigint AS total_tokens, sum(cost_nanousd)::bigint AS total_cost_nanousd
  FROM usage_daily
 WHERE virtual_key_id = :virtual_key_id::text AND day >= :since::date
 GROUP BY model, provider
 ORDER BY total_cost_nanousd DESC, model, provider
 LIMIT 1000;

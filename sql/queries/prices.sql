-- Base prices of models.

-- name: upsert_model_prices(providers, models, modes, input_nanousd, output_nanousd, cached_input_nanousd, cache_creation_nanousd, input_batches_nanousd, output_batches_nanousd)
-- Write prices; the rows that were added or changed come back, those that say the same already do not. Ordered, so that
-- two imports at once wait for each other instead of deadlocking. A row that is new has no xmax.
-- Uses model_prices_pkey.
INSERT INTO model_prices AS prices (provider, model, mode, input_nanousd, output_nanousd, cached_input_nanousd,
                                    cache_creation_nanousd, input_batches_nanousd, output_batches_nanousd)
SELECT given.* FROM unnest(:providers::text[], :models::text[], :modes::text[], :input_nanousd::bigint[],
                           :output_nanousd::bigint[], :cached_input_nanousd::bigint[],
                           :cache_creation_nanousd::bigint[], :input_batches_nanousd::bigint[],
                           :output_batches_nanousd::bigint[]) AS given (provider, model)
 ORDER BY given.provider, given.model
    ON CONFLICT (provider, model) DO UPDATE
       SET mode = excluded.mode, input_nanousd = excluded.input_nanousd, output_nanousd = excluded.output_nanousd,
           cached_input_nanousd = excluded.cached_input_nanousd,
           cache_creation_nanousd = excluded.cache_creation_nanousd,
           input_batches_nanousd = excluded.input_batches_nanousd,
           output_batches_nanousd = excluded.output_batches_nanousd, updated_at = now()
     WHERE (prices.mode, prices.input_nanousd, prices.output_nanousd, prices.cached_input_nanousd,
            prices.cache_creation_nanousd, prices.input_batches_nanousd, prices.output_batches_nanousd)
           IS DISTINCT FROM
           (excluded.mode, excluded.input_nanousd, excluded.output_nanousd, excluded.cached_input_nanousd,
            excluded.cache_creation_nanousd, excluded.input_batches_nanousd, excluded.output_batches_nanousd)
RETURNING (xmax = 0) AS is_new;

-- name: list_model_prices(provider, search, page_limit)
-- Prices by provider and model, each with how many match in all. NULL: not asked for.
-- Uses model_prices_pkey.
SELECT provider, model, mode, input_nanousd, output_nanousd, cached_input_nanousd, cache_creation_nanousd,
       input_batches_nanousd, output_batches_nanousd, count(*) OVER () AS total_count
  FROM model_prices
 WHERE (:provider::text IS NULL OR provider = :provider)
   AND (:search::text IS NULL OR strpos(lower(model), lower(:search)) > 0)
 ORDER BY provider, model
 LIMIT :page_limit::bigint;

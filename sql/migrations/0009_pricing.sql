-- What calls cost: base prices by model, and the overrides that replace some of them for some callers. And indexes for the
-- lists of provider keys, in the order of creation.

CREATE INDEX provider_keys_created_at ON provider_keys (created_at, id);

-- A scope kind has just the ids its name tells. Ids of users are texts of another system; the ids of provider keys may
-- be a gateway's own.
CREATE TABLE pricing_overrides (
    id entity_id PRIMARY KEY,
    name entity_name NOT NULL,
    scope_kind text NOT NULL,
    user_id entity_id,
    virtual_key_id entity_id REFERENCES virtual_keys ON DELETE CASCADE,
    provider_id entity_id,
    provider_key_id entity_id,
    match_type text NOT NULL CHECK (match_type IN ('exact', 'wildcard')),
    pattern text NOT NULL CHECK (char_length(pattern) BETWEEN 1 AND 255),
    request_types text[] NOT NULL DEFAULT '{}' CHECK (is_list(request_types)),
    -- US dollars per unit, by the price's name.
    pricing_patch jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(pricing_patch) = 'object'),
    config_hash text NOT NULL DEFAULT '',
    created_at instant NOT NULL DEFAULT now(),
    updated_at instant NOT NULL DEFAULT now(),
    CONSTRAINT pricing_overrides_scope CHECK (coalesce(
        ARRAY [user_id IS NOT NULL, virtual_key_id IS NOT NULL, provider_id IS NOT NULL, provider_key_id IS NOT NULL]
        = CASE scope_kind
            WHEN 'global' THEN '{f,f,f,f}'
            WHEN 'provider' THEN '{f,f,t,f}'
            WHEN 'provider_key' THEN '{f,f,f,t}'
            WHEN 'virtual_key' THEN '{f,t,f,f}'
            WHEN 'virtual_key_provider' THEN '{f,t,t,f}'
            WHEN 'virtual_key_provider_key' THEN '{f,t,t,t}'
            WHEN 'user' THEN '{t,f,f,f}'
            WHEN 'user_provider' THEN '{t,f,t,f}'
            WHEN 'user_provider_key' THEN '{t,f,t,t}'
        END::boolean[], false)),
    CONSTRAINT pricing_overrides_pattern CHECK (
        CASE match_type WHEN 'exact' THEN strpos(pattern, '*') = 0 ELSE strpos(pattern, '*') = char_length(pattern) END
        AND pattern <> '*')
);
CREATE INDEX pricing_overrides_created_at ON pricing_overrides (created_at, id);
CREATE INDEX pricing_overrides_virtual_key ON pricing_overrides (virtual_key_id) WHERE virtual_key_id IS NOT NULL;
CREATE TRIGGER touch BEFORE UPDATE ON pricing_overrides FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- Base prices, as imported from a price file: nano-dollars per million tokens, NULL where there is none.
CREATE TABLE model_prices (
    provider entity_name NOT NULL,
    model entity_name NOT NULL,
    mode text NOT NULL DEFAULT '',
    input_nanousd bigint CHECK (input_nanousd >= 0),
    output_nanousd bigint CHECK (output_nanousd >= 0),
    cached_input_nanousd bigint CHECK (cached_input_nanousd >= 0),
    cache_creation_nanousd bigint CHECK (cache_creation_nanousd >= 0),
    input_batches_nanousd bigint CHECK (input_batches_nanousd >= 0),
    output_batches_nanousd bigint CHECK (output_batches_nanousd >= 0),
    updated_at instant NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, model)
);

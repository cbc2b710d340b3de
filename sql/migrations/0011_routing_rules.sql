-- Where calls are sent instead: rules a gateway looks through, those of the virtual key first, then of its team, its
-- customer and the whole deployment; in each of these the lowest priority first.

-- A rule belongs to one owner, or to none: then to the whole deployment. It goes with its owner.
CREATE TABLE routing_rules (
    id entity_id PRIMARY KEY,
    name entity_name NOT NULL,
    description text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    -- Whether the rules are looked through again for what this one chose.
    chain_rule boolean NOT NULL DEFAULT false,
    -- Empty: it holds for every call.
    cel_expression text NOT NULL DEFAULT '' CHECK (char_length(cel_expression) <= 4096),
    -- Lists of {provider, model, key_id}, those of targets with a weight.
    targets jsonb NOT NULL CHECK (jsonb_typeof(targets) = 'array' AND targets <> '[]'),
    fallbacks jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(fallbacks) = 'array'),
    -- A visual editor's form of the expression.
    query jsonb CHECK (jsonb_typeof(query) = 'object'),
    customer_id entity_id REFERENCES customers ON DELETE CASCADE,
    team_id entity_id REFERENCES teams ON DELETE CASCADE,
    virtual_key_id entity_id REFERENCES virtual_keys ON DELETE CASCADE,
    scope text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN virtual_key_id IS NOT NULL THEN 'virtual_key'
             WHEN team_id IS NOT NULL THEN 'team'
             WHEN customer_id IS NOT NULL THEN 'customer'
             ELSE 'global' END) STORED,
    scope_id text GENERATED ALWAYS AS (coalesce(virtual_key_id::text, team_id::text, customer_id::text)) STORED,
    priority integer NOT NULL DEFAULT 0,
    ttft_timeout_ms integer CHECK (ttft_timeout_ms > 0),
    config_hash text NOT NULL DEFAULT '',
    created_at instant NOT NULL DEFAULT now(),
    updated_at instant NOT NULL DEFAULT now(),
    CONSTRAINT routing_rules_one_owner CHECK (num_nonnulls(customer_id, team_id, virtual_key_id) <= 1),
    CONSTRAINT routing_rules_name_key UNIQUE NULLS NOT DISTINCT (scope, scope_id, name)
);
CREATE INDEX routing_rules_priority ON routing_rules (priority, created_at, id);
CREATE INDEX routing_rules_customer ON routing_rules (customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX routing_rules_team ON routing_rules (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX routing_rules_virtual_key ON routing_rules (virtual_key_id) WHERE virtual_key_id IS NOT NULL;
CREATE TRIGGER touch BEFORE UPDATE ON routing_rules FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

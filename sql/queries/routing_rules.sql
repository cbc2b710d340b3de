-- Routing rules.

-- name: list_routing_rule_ids(scope, scope_id, search, page_limit, page_offset)
-- The ids of one page of rules in the order of priority, each with how many match in all. NULL: not asked for.
-- Uses routing_rules_priority or routing_rules_name_key.
SELECT id, count(*) OVER () AS total_count
  FROM routing_rules
 WHERE (:scope::text IS NULL OR scope = :scope)
   AND (:scope_id::text IS NULL OR scope_id = :scope_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0)
 ORDER BY priority, created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_routing_rules(scope, scope_id, search)$
-- How many match, for a page beyond the last.
-- Uses routing_rules_priority or routing_rules_name_key.
SELECT count(*) FROM routing_rules
 WHERE (:scope::text IS NULL OR scope = :scope)
   AND (:scope_id::text IS NULL OR scope_id = :scope_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0);

-- name: list_shown_routing_rules(rule_ids)
-- Rules by their ids.
-- Uses routing_rules_pkey.
SELECT id, name, description, enabled, chain_rule, cel_expression, targets, fallbacks, query, scope, scope_id, priority,
       ttft_timeout_ms, config_hash, created_at, updated_at
  FROM routing_rules WHERE id = ANY (:rule_ids::text[]);

-- name: lock_routing_rule(rule_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses routing_rules_pkey.
SELECT name, description, enabled, chain_rule, cel_expression, targets, fallbacks, query, scope, scope_id, priority,
       ttft_timeout_ms
  FROM routing_rules WHERE id = :rule_id::text FOR NO KEY UPDATE;

-- name: insert_routing_rule(rule_id, name, description, enabled, chain_rule, cel_expression, targets, fallbacks, query, customer_id, team_id, virtual_key_id, priority, ttft_timeout_ms, created_at)!
-- A rule of one owner, or of the whole deployment.
-- Uses routing_rules_pkey and routing_rules_name_key.
INSERT INTO routing_rules (id, name, description, enabled, chain_rule, cel_expression, targets, fallbacks, query,
                           customer_id, team_id, virtual_key_id, priority, ttft_timeout_ms, created_at, updated_at)
VALUES (:rule_id::text, :name::text, :description::text, :enabled::boolean, :chain_rule::boolean,
        :cel_expression::text, :targets::jsonb, :fallbacks::jsonb, :query::jsonb, :customer_id::text, :team_id::text,
        :virtual_key_id::text, :priority::integer, :ttft_timeout_ms::integer, :created_at::timestamptz, :created_at);

-- name: update_routing_rule(rule_id, name, description, enabled, chain_rule, cel_expression, targets, fallbacks, query, customer_id, team_id, virtual_key_id, priority, ttft_timeout_ms)!
-- All of it, as it should be.
-- Uses routing_rules_pkey and routing_rules_name_key.
UPDATE routing_rules
   SET name = :name::text, description = :description::text, enabled = :enabled::boolean,
       chain_rule = :chain_rule::boolean, cel_expression = :cel_expression::text, targets = :targets::jsonb,
       fallbacks = :fallbacks::jsonb, query = :query::jsonb, customer_id = :customer_id::text,
       team_id = :team_id::text, virtual_key_id = :virtual_key_id::text, priority = :priority::integer,
       ttft_timeout_ms = :ttft_timeout_ms::integer
 WHERE id = :rule_id::text;

-- name: delete_routing_rule(rule_id)!
-- Calls go where they would without it.
-- Uses routing_rules_pkey.
DELETE FROM routing_rules WHERE id = :rule_id::text;

-- The audit log.

-- name: insert_audit_entry(actor, action, entity_type, entity_id, tenant_id, request_id, changes)!
-- Written in the transaction of the change: no entry, no change.
-- Uses audit_log_pkey.
INSERT INTO audit_log (actor, action, entity_type, entity_id, tenant_id, request_id, changes)
VALUES (:actor::text, :action::text, :entity_type::text, :entity_id::text, :tenant_id::text, :request_id::text,
        :changes::jsonb);

-- name: list_audit_entries(actor, action, entity_type, entity_id, tenant_id, request_id, from_at, to_at, before_at, before_id, page_limit, page_offset)
-- One page of entries, newest first. A filter that is NULL is none; from_at is in, to_at is not; before_at and before_id are
-- of the entry the page comes after.
-- Uses audit_log_at in order, with audit_log_actor and audit_log_entity where they leave less to sort; what has no index is
-- filtered on the way.
SELECT id, at, actor, action, entity_type, entity_id, tenant_id, request_id, changes
  FROM audit_log
 WHERE (:actor::text IS NULL OR actor = :actor)
   AND (:action::text IS NULL OR action = :action)
   AND (:entity_type::text IS NULL OR entity_type = :entity_type)
   AND (:entity_id::text IS NULL OR entity_id = :entity_id)
   AND (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
   AND (:request_id::text IS NULL OR request_id = :request_id)
   AND (:from_at::timestamptz IS NULL OR at >= :from_at)
   AND (:to_at::timestamptz IS NULL OR at < :to_at)
   AND (:before_at::timestamptz IS NULL OR (at, id) < (:before_at, :before_id::bigint))
 ORDER BY at DESC, id DESC
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_audit_entries(actor, action, entity_type, entity_id, tenant_id, request_id, from_at, to_at)$
-- How many entries list_audit_entries has in all its pages.
-- Uses audit_log_at, audit_log_actor and audit_log_entity.
SELECT count(*)
  FROM audit_log
 WHERE (:actor::text IS NULL OR actor = :actor)
   AND (:action::text IS NULL OR action = :action)
   AND (:entity_type::text IS NULL OR entity_type = :entity_type)
   AND (:entity_id::text IS NULL OR entity_id = :entity_id)
   AND (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
   AND (:request_id::text IS NULL OR request_id = :request_id)
   AND (:from_at::timestamptz IS NULL OR at >= :from_at)
   AND (:to_at::timestamptz IS NULL OR at < :to_at);

-- name: find_audit_entry_at(entry_id)$
-- When an entry was written: with its id the place in the order of pages.
-- Uses audit_log_pkey.
SELECT at FROM audit_log WHERE id = :entry_id::bigint;

-- The audit log.

-- name: insert_audit_entry(actor, action, entity_type, entity_id, tenant_id, request_id, changes)!
-- Written in the transaction of the change: no entry, no change.
-- Uses audit_log_pkey.
INSERT INTO audit_log (actor, action, entity_type, entity_id, tenant_id, request_id, changes)
VALUES (:actor::text, :action::text, :entity_type::text, :entity_id::text, :tenant_id::text, :request_id::text,
        :changes::jsonb);

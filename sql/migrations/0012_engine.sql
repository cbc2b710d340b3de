-- What deciding about calls needs: to be told of changes at once, to know whose a deleted virtual key was, and to
-- book what a report says beyond a hold that had expired.

-- Workers hold policies of virtual keys in memory: each change of a tenant is told to them as `<revision> <tenant id>`.
-- Sent with the commit; one that is lost (a connection that broke) is found by polling tenants_changed_at.
CREATE FUNCTION tell_of_tenant() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('governance_tenants',
                      (CASE TG_OP WHEN 'DELETE' THEN clock_number() ELSE NEW.revision END) || ' '
                      || (CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_change AFTER UPDATE OF revision, layout ON tenants
    FOR EACH ROW EXECUTE FUNCTION tell_of_tenant();
CREATE TRIGGER tell_of_end AFTER DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION tell_of_tenant();

-- Prices are held in memory too, all of them.
CREATE FUNCTION tell_of_prices() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('governance_prices', '');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON model_prices
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_prices();
CREATE TRIGGER tell_of_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pricing_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_prices();

-- A client that is allowed by default is open to every virtual key that says nothing of it.
CREATE FUNCTION tell_of_mcp_clients() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('governance_tenants', clock_number() || ' global');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mcp_clients
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_mcp_clients();

-- Whose a virtual key was when it was deleted: calls that were under way then are still reported.
CREATE TABLE deleted_virtual_keys (
    id text PRIMARY KEY,
    value_hash bytea NOT NULL,
    name text NOT NULL,
    tenant_id text NOT NULL,
    team_id text,
    customer_id text,
    deleted_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deleted_virtual_keys_value ON deleted_virtual_keys (value_hash);
CREATE INDEX deleted_virtual_keys_deleted_at ON deleted_virtual_keys (deleted_at);

CREATE FUNCTION remember_virtual_key() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO deleted_virtual_keys AS known (id, value_hash, name, tenant_id, team_id, customer_id)
    VALUES (OLD.id, OLD.value_hash, OLD.name, OLD.tenant_id, OLD.team_id, OLD.customer_id)
        ON CONFLICT (id) DO UPDATE
       SET value_hash = excluded.value_hash, name = excluded.name, tenant_id = excluded.tenant_id,
           team_id = excluded.team_id, customer_id = excluded.customer_id, deleted_at = now();
    RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER DELETE ON virtual_keys FOR EACH ROW EXECUTE FUNCTION remember_virtual_key();

-- A function that is STRICT is not inlined: asked of each total of a booked batch, that was three quarters of its time.
ALTER FUNCTION meter_tenant(text) CALLED ON NULL INPUT;

-- `late`: what a report said beyond the hold that was booked when it expired; the request itself was counted then.
ALTER TABLE usage_events DROP CONSTRAINT usage_events_status_check;
ALTER TABLE usage_events ADD CONSTRAINT usage_events_status
    CHECK (status IN ('success', 'error', 'cancelled', 'expired', 'late'));

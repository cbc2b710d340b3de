-- A tenant is the root of a tree (a customer; a team without a customer; a virtual key without either) and the unit of
-- consistency and caching. `revision` names one state of a tenant's configuration: whoever holds something built at that
-- revision may use it for as long as the revision stands.

-- Microseconds of the clock: a number that never comes back, not for a tenant that was deleted and made again, nor after
-- a database was restored from a backup while others still hold what they built from its later state.
CREATE FUNCTION clock_number() RETURNS bigint
    LANGUAGE sql VOLATILE AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- `layout` names one set of meters: it changes when a meter moves into the tenant or out of it (0005). Live counters are
-- kept per layout, so that what a meter left behind in a tenant is never read again when it comes back.
CREATE TABLE tenants (
    id text PRIMARY KEY,
    revision bigint NOT NULL DEFAULT clock_number(),
    layout bigint NOT NULL DEFAULT clock_number(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenants_changed_at ON tenants (changed_at);

-- Deployment-wide limits (per model, per provider) live in a tenant of their own.
INSERT INTO tenants (id) VALUES ('global');

-- Locks in id order: two writers that touch the same tenants cannot deadlock here.
CREATE FUNCTION bump_tenants(tenant_ids text[]) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM tenants WHERE id = ANY (tenant_ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE tenants SET revision = greatest(revision + 1, clock_number()), changed_at = now() WHERE id = ANY (tenant_ids);
END $$;

-- Statement trigger of every table that carries tenant_id: what a statement changed, its tenants before and after.
CREATE FUNCTION bump_changed_tenants() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    changed text[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT tenant_id) INTO changed FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT tenant_id) INTO changed FROM old_rows;
    ELSE
        SELECT array_agg(DISTINCT tenant_id) INTO changed
          FROM (SELECT tenant_id FROM old_rows UNION ALL SELECT tenant_id FROM new_rows) AS both_sides;
    END IF;
    IF changed IS NOT NULL THEN
        PERFORM bump_tenants(changed);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION bump_all_tenants() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bump_tenants(array_agg(id)) FROM tenants;
    RETURN NULL;
END $$;

-- Transition tables need one trigger per event: this makes them for a table, and one for when it is emptied.
CREATE PROCEDURE bump_tenants_on_change_of(changed_table text)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER bump_on_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows '
                   'FOR EACH STATEMENT EXECUTE FUNCTION bump_changed_tenants()', changed_table);
    EXECUTE format('CREATE TRIGGER bump_on_update AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows '
                   'NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bump_changed_tenants()', changed_table);
    EXECUTE format('CREATE TRIGGER bump_on_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows '
                   'FOR EACH STATEMENT EXECUTE FUNCTION bump_changed_tenants()', changed_table);
    EXECUTE format('CREATE TRIGGER bump_on_truncate AFTER TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION bump_all_tenants()', changed_table);
END $$;

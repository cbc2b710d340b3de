-- A limit made again under the id of one that was deleted starts after the last epoch of that one: what was counted then
-- is history, and not found in a window of the same start.

CREATE FUNCTION epoch_after(last_meter_id text, first_epoch integer) RETURNS integer
    LANGUAGE sql STABLE AS $$
    SELECT greatest(first_epoch, (SELECT max(epoch) + 1 FROM meter_windows WHERE meter_id = last_meter_id))
$$;

CREATE FUNCTION begin_budget_epoch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.epoch := epoch_after('budget:' || NEW.id, NEW.epoch);
    RETURN NEW;
END $$;
CREATE TRIGGER begin_epoch BEFORE INSERT ON budgets FOR EACH ROW EXECUTE FUNCTION begin_budget_epoch();

CREATE FUNCTION begin_rate_limit_epochs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.token_epoch := epoch_after('tokens:' || NEW.id, NEW.token_epoch);
    NEW.request_epoch := epoch_after('requests:' || NEW.id, NEW.request_epoch);
    RETURN NEW;
END $$;
CREATE TRIGGER begin_epochs BEFORE INSERT ON rate_limits FOR EACH ROW EXECUTE FUNCTION begin_rate_limit_epochs();

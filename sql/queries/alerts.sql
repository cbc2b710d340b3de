-- Alerts: the outbox record_usage (ledger.sql) fires into, and their delivery.

-- name: list_alerts(state, budget_id, customer_id, team_id, virtual_key_id, from_at, to_at, before_at, before_id, page_limit)
-- One page of alerts, newest first. A filter that is NULL is none; from_at is in, to_at is not; before_at and before_id are of
-- the alert the page comes after. The owners are all that the budget's owner was or belonged to.
-- Uses alerts_fired_at in order, or alerts_once, alerts_customer, alerts_team, alerts_virtual_key or alerts_undelivered where
-- they leave less to sort.
SELECT id, budget_id, owner_type, owner_id, owner_name, customer_id, team_id, virtual_key_id, threshold_percent,
       max_limit_nanousd, used_nanousd, window_start, fired_at, state, attempts, last_error, delivered_at
  FROM alerts
 WHERE (:state::text IS NULL OR state = :state)
   AND (:budget_id::text IS NULL OR budget_id = :budget_id)
   AND (:customer_id::text IS NULL OR customer_id = :customer_id)
   AND (:team_id::text IS NULL OR team_id = :team_id)
   AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
   AND (:from_at::timestamptz IS NULL OR fired_at >= :from_at)
   AND (:to_at::timestamptz IS NULL OR fired_at < :to_at)
   AND (:before_at::timestamptz IS NULL OR (fired_at, id) < (:before_at, :before_id::bigint))
 ORDER BY fired_at DESC, id DESC
 LIMIT :page_limit::bigint;

-- name: find_alert_fired_at(alert_id)$
-- When an alert fired: with its id the place in the order of pages.
-- Uses alerts_pkey.
SELECT fired_at FROM alerts WHERE id = :alert_id::bigint;

-- name: claim_alerts(as_of, lease, page_limit)
-- Some of the alerts that are due, longest due first, each for one replica at a time: an attempt that does not end comes up
-- again when its lease has run out. `due_at` is when the alert was due.
-- Uses alerts_due and alerts_pkey.
WITH due AS (
    SELECT id, next_attempt_at AS due_at
      FROM alerts
     WHERE state = 'pending' AND next_attempt_at <= :as_of::timestamptz
     ORDER BY next_attempt_at, id
     LIMIT :page_limit::bigint
       FOR UPDATE SKIP LOCKED
)
UPDATE alerts
   SET attempts = attempts + 1, next_attempt_at = :as_of + :lease::interval
  FROM due
 WHERE alerts.id = due.id
RETURNING alerts.id, budget_id, owner_type, owner_id, owner_name, customer_id, team_id, virtual_key_id,
          threshold_percent, max_limit_nanousd, used_nanousd, window_start, fired_at, state, attempts, last_error,
          delivered_at, delivered_to, due_at;

-- name: settle_alert(alert_id, attempts, state, delivered_to, last_error, next_attempt_at, delivered_at)!
-- What came of an attempt. Of one whose lease ran out only a success counts: another replica has its own.
-- Uses alerts_pkey.
UPDATE alerts
   SET state = :state::text, delivered_to = :delivered_to::text[], last_error = :last_error::text,
       next_attempt_at = coalesce(:next_attempt_at::timestamptz, next_attempt_at),
       delivered_at = :delivered_at::timestamptz
 WHERE id = :alert_id::bigint AND state <> 'delivered' AND (attempts = :attempts::integer OR :state = 'delivered');

-- name: lock_alert(alert_id)^
-- What an operator's retry has to look at first.
-- Uses alerts_pkey.
SELECT state, tenant_id FROM alerts WHERE id = :alert_id::bigint FOR NO KEY UPDATE;

-- name: requeue_alert(alert_id, as_of)^
-- Due now, with all its attempts before it; webhooks that have it stay left out.
-- Uses alerts_pkey.
UPDATE alerts SET state = 'pending', attempts = 0, next_attempt_at = :as_of::timestamptz
 WHERE id = :alert_id::bigint
RETURNING id, budget_id, owner_type, owner_id, owner_name, customer_id, team_id, virtual_key_id, threshold_percent,
          max_limit_nanousd, used_nanousd, window_start, fired_at, state, attempts, last_error, delivered_at;

-- name: prune_alerts(as_of, keep, page_limit)$
-- Deletes some of the alerts that fired longer than `keep` ago, and answers how many. One whose window may still be open
-- stays, or it would fire again; a calendar's windows are up to 3 days longer than the duration says.
-- Uses alerts_fired_at, alerts_pkey and budgets_pkey.
WITH old AS (
    SELECT alerts.id
      FROM alerts
      LEFT JOIN budgets ON budgets.id = alerts.budget_id AND budgets.epoch = alerts.epoch
     WHERE fired_at < :as_of::timestamptz - :keep::interval
       AND (budgets.id IS NULL
            OR window_start + make_interval(secs => reset_duration_us(reset_duration) / 1000000.0) + interval '3 days'
               < :as_of)
     ORDER BY fired_at, alerts.id
     LIMIT :page_limit::bigint
), pruned AS (
    DELETE FROM alerts USING old WHERE alerts.id = old.id RETURNING alerts.id
)
SELECT count(*) FROM pruned;

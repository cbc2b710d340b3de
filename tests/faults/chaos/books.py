"""The books after the chaos: what gateways were told against the ledger, and the ledger against its totals."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from service.store.postgres import Connection
from tests.faults.chaos.calls import HOLD_SECONDS, Amount, Call
from tests.faults.chaos.strikes import Strikes

_LATE = ":late"
# How long after its hold expired a call may be booked; for a busy machine.
_BOOKED_WITHIN_SECONDS = 20.0
# After so long a worker has told Redis again which tenants have holds, if it forgot; for a busy machine.
_NOTED_AGAIN_SECONDS = 10.0

# Each owner's budgets count the same money: all of what was used under it.
_MONEY = """
SELECT budgets.id, coalesce(sum(used), 0)::bigint AS counted, ({booked}) AS booked
  FROM budgets JOIN meter_windows ON meter_id = 'budget:' || budgets.id
 WHERE {column} IS NOT NULL
 GROUP BY budgets.id
HAVING coalesce(sum(used), 0) <> ({booked})
"""
_BOOKED = (
    "SELECT coalesce(sum(cost_nanousd), 0)::bigint FROM usage_events WHERE usage_events.{column} = budgets.{column}"
)
_BOOKED_OF_MODELS = """
SELECT coalesce(sum(cost_nanousd), 0)::bigint FROM usage_events
  JOIN model_configs ON model_configs.id = budgets.model_config_id
 WHERE (model_configs.model_name IN ('*', usage_events.model))
   AND (model_configs.provider IS NULL OR model_configs.provider = usage_events.provider)
   AND (model_configs.virtual_key_id IS NULL OR model_configs.virtual_key_id = usage_events.virtual_key_id)"""
_BOOKED_OF_CONFIGS = """
SELECT coalesce(sum(cost_nanousd), 0)::bigint FROM usage_events
  JOIN virtual_key_provider_configs AS configs ON configs.id = budgets.provider_config_id
 WHERE configs.virtual_key_id = usage_events.virtual_key_id AND configs.provider = usage_events.provider"""
_SUMS = {
    column: _MONEY.format(column=f"budgets.{column}", booked=booked)
    for column, booked in {
        **{owner: _BOOKED.format(column=owner) for owner in ("customer_id", "team_id", "virtual_key_id")},
        "model_config_id": _BOOKED_OF_MODELS,
        "provider_config_id": _BOOKED_OF_CONFIGS,
    }.items()
}
_CHARGES_AGAINST_TOTALS = """
WITH charged AS (
    SELECT meter_id, epoch, window_start, sum(amount)::bigint AS amount
      FROM usage_events, unnest(charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
           AS charge (meter_id, epoch, window_start, amount)
     GROUP BY meter_id, epoch, window_start)
SELECT meter_id, epoch, window_start, charged.amount, total.used
  FROM charged FULL JOIN meter_windows AS total USING (meter_id, epoch, window_start)
 WHERE charged.amount IS DISTINCT FROM total.used
"""
_EVENTS_AGAINST_DAYS = """
SELECT *
  FROM (SELECT sum(cost_nanousd) AS cost, sum(input_tokens + output_tokens) AS tokens,
               count(*) FILTER (WHERE status <> 'late') AS requests FROM usage_events) AS events,
       (SELECT sum(cost_nanousd) AS cost, sum(input_tokens + output_tokens) AS tokens,
               sum(requests)::bigint AS requests FROM usage_daily) AS days
 WHERE events IS DISTINCT FROM days
"""


# The same, event by event: which budget of its virtual key's, its team's or its customer's it is not charged to.
_NOT_CHARGED = """
SELECT event.request_id, event.status, event.cost_nanousd, event.model, event.provider, event.charge_meter_ids,
       array_agg('budget:' || budgets.id) AS missing
  FROM usage_events AS event
  JOIN budgets ON budgets.virtual_key_id = event.virtual_key_id OR budgets.team_id = event.team_id
               OR budgets.customer_id = event.customer_id
 WHERE event.cost_nanousd > 0 AND NOT 'budget:' || budgets.id = ANY (event.charge_meter_ids)
 GROUP BY event.recorded_at, event.id
"""

# And which of the deployment's.
_NOT_CHARGED_TO_ALL = """
SELECT event.request_id, event.status, event.cost_nanousd, event.model, event.provider, event.charge_meter_ids,
       array_agg('budget:' || budgets.id) AS missing
  FROM usage_events AS event
  JOIN model_configs AS config ON config.virtual_key_id IS NULL AND config.model_name IN ('*', event.model)
                              AND (config.provider IS NULL OR config.provider = event.provider)
  JOIN budgets ON budgets.model_config_id = config.id
 WHERE event.cost_nanousd > 0 AND NOT 'budget:' || budgets.id = ANY (event.charge_meter_ids)
 GROUP BY event.recorded_at, event.id
"""


class Booked(msgspec.Struct, frozen=True):
    status: str
    amount: Amount


class Ledger(msgspec.Struct, frozen=True):
    """By request id, every row there is."""

    rows: Mapping[str, Sequence[Booked]]

    def of(self, call: Call) -> Sequence[Booked]:
        return self.rows.get(call.request_id, ())

    @property
    def cost_nanousd(self) -> int:
        return sum(row.amount.cost_nanousd for rows in self.rows.values() for row in rows)

    def count(self, status: str) -> int:
        return sum(row.status == status for rows in self.rows.values() for row in rows)


async def read_ledger(connection: Connection) -> Ledger:
    rows: defaultdict[str, list[Booked]] = defaultdict(list)
    for row in await connection.fetch("SELECT * FROM usage_events"):
        amount = Amount(row["cost_nanousd"], row["input_tokens"] + row["output_tokens"])
        rows[row["request_id"]].append(Booked(row["status"], amount))
    return Ledger(rows)


async def find_wrong_sums(connection: Connection) -> list[str]:
    """Where the ledger and what is summed up of it differ; each difference in words."""
    wrong = [
        f"a total is not the sum of its charges: {dict(row)}" for row in await connection.fetch(_CHARGES_AGAINST_TOTALS)
    ]
    wrong += [
        f"days are not the sum of their events: {dict(row)}" for row in await connection.fetch(_EVENTS_AGAINST_DAYS)
    ]
    for query in (_NOT_CHARGED, _NOT_CHARGED_TO_ALL):
        wrong += [f"an event is not charged to a budget: {dict(row)}" for row in await connection.fetch(query)]
    for column, query in _SUMS.items():
        wrong += [f"a budget of {column} counts other money: {dict(row)}" for row in await connection.fetch(query)]
    return wrong


def find_wrong_bookings(ledger: Ledger, calls: Mapping[str, Call], strikes: Strikes) -> Iterator[str]:
    """Calls that are not booked as their gateways were told; each in words."""
    strange = {request_id.removesuffix(_LATE) for request_id in ledger.rows} - set(calls)
    yield from (f"{request_id} was never asked for" for request_id in strange)
    for call in calls.values():
        rows, late = ledger.of(call), ledger.rows.get(call.request_id + _LATE, ())
        for fault in _faults_of(call, rows, late, strikes):
            yield f"{fault}: {call}, booked {rows} {late}"


def _faults_of(call: Call, rows: Sequence[Booked], late: Sequence[Booked], strikes: Strikes) -> Iterator[str]:
    if len(rows) > 1 or len(late) > 1:
        yield "booked more than once"
    elif call.acknowledged and not rows:
        yield "acknowledged and not booked"
    elif rows and not _may_be_booked(call, strikes):
        yield "booked although it was not made"
    elif not rows and _must_be_booked(call, strikes):
        yield "its hold expired and is not booked"
    elif rows and rows[0].status == "expired":
        if rows[0].amount != call.estimate:
            yield "expired, and not booked as it was held"
        elif call.acknowledged and not late:
            yield "reported late, and not made up for"
        elif late and _sum(rows[0].amount, late[0].amount) != _larger(call.estimate, call.used):
            yield "reported late, and not booked at the larger of both"
    elif rows and rows[0].amount not in _reported(call):
        yield "booked at other figures"


def _may_be_booked(call: Call, strikes: Strikes) -> bool:
    if call.times_sent:
        return True
    if call.released == "yes":
        # A Redis that lost the end of its file has the hold back.
        return _was_forgotten(call, strikes)
    if call.admitted == "refused":
        # Who refused for want of an answer of Redis gives the hold back, given the time and a life to do so.
        was_killed = any(at > call.answered_at for at in strikes.killed_at[call.answered_by])
        is_too_short = call.hold_seconds < HOLD_SECONDS
        return call.refused_while_degraded and (was_killed or is_too_short or _was_forgotten(call, strikes))
    return True


def _must_be_booked(call: Call, strikes: Strikes) -> bool:
    """Held, never reported, and Redis forgot nothing meanwhile."""
    if call.admitted != "held" or call.times_sent or call.released != "no":
        return False
    return not _was_forgotten(call, strikes, before_seconds=_NOTED_AGAIN_SECONDS)


def _was_forgotten(call: Call, strikes: Strikes, *, before_seconds: float = 0) -> bool:
    """Whether Redis may have lost what it knew of the call."""
    until = call.answered_at + call.hold_seconds + _BOOKED_WITHIN_SECONDS
    return any(call.begun_at - before_seconds < at < until for at in strikes.redis_lost_at)


def _reported(call: Call) -> Sequence[Amount]:
    if call.used is not None:
        return (call.used,)
    # Without figures, as it was held; a call whose hold was lost has no other.
    return (call.estimate, Amount(0, 0))


def _sum(one: Amount, other: Amount) -> Amount:
    return Amount(one.cost_nanousd + other.cost_nanousd, one.tokens + other.tokens)


def _larger(one: Amount, other: Amount | None) -> Amount:
    if other is None:
        return one
    return Amount(max(one.cost_nanousd, other.cost_nanousd), max(one.tokens, other.tokens))

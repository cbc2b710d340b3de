"""What an operator does with alerts."""

import msgspec

from service.domain.refusals import conflict, not_found
from service.governance.changes.change import Change
from service.store.alerts import lock_alert, requeue_alert


async def retry_alert(change: Change, alert_id: int) -> bytes:
    """Have a dead alert tried again from now on; answers its JSON. Raises RefusedError."""
    stored = await lock_alert(change.connection, alert_id)
    if stored is None:
        raise not_found("Alert not found")
    if stored.state != "dead":
        raise conflict(f"The alert is {stored.state}: only a dead one is sent again")
    alert = await requeue_alert(change.connection, alert_id, as_of=change.now)
    changes = {"state": [stored.state, alert.state]}
    await change.note("retry", ("alert", str(alert_id)), changes=changes, tenant_id=stored.tenant_id)
    return msgspec.json.encode(alert)

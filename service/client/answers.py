"""What the service answers, and what is raised when that is no yes."""

from typing import Any

import msgspec


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a call may be made. Money is in US dollars; `violations` are the limits that have no room."""

    allowed: bool
    decision: str
    status_code: int
    request_id: str
    message: str = ""
    violations: list[dict[str, Any]] = []
    limits: list[dict[str, Any]] = []
    eligible_providers: list[dict[str, Any]] = []
    provider: str | None = None
    model: str | None = None
    virtual_key_id: str | None = None
    team_id: str | None = None
    customer_id: str | None = None
    degraded: str | None = None

    @property
    def retry_after_seconds(self) -> int | None:
        """When the last of the violated limits starts anew; None when waiting is no help."""
        waits = [violated["limit"].get("retry_after") for violated in self.violations]
        return max((wait for wait in waits if wait is not None), default=None)


def let_pass(request_id: str) -> Decision:
    """What is decided here, without the service."""
    return Decision(allowed=True, decision="allow", status_code=200, request_id=request_id, degraded="unavailable")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report: `recorded`, or `duplicate` when it was there already. `cost` is in US dollars."""

    request_id: str
    status: str
    cost: float = 0.0
    priced: bool = True
    late: bool = False


class GovernanceError(Exception):
    """The service refused the request itself. `status` is 0 when it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(GovernanceError):
    """It did not answer, or could not, however often it was asked: nothing is known of the call."""

    def __init__(self, status: int, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(status, message)
        self.retry_after_seconds = retry_after_seconds


class RefusedCallError(Exception):
    """The call may not be made, and the decision says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision

"""A circuit breaker: when Redis does not answer, most calls are told at once instead of waiting for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Three failures in a row are an outage; one probe a second then finds its end within a second or two.
FAILURES_TO_OPEN = 3
PROBE_INTERVAL_SECONDS = 1.0


class BreakerOpenError(Exception):
    """The call was not made: the last ones failed, and it is not time for a probe."""


class Breaker:
    """Counts failures in a row; once open, lets one call through per `PROBE_INTERVAL_SECONDS` until one succeeds."""

    def __init__(self, monotonic_seconds: Callable[[], float]) -> None:
        self._monotonic_seconds = monotonic_seconds
        self._failures = 0
        self._next_probe_at_seconds = 0.0
        self.times_opened = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES_TO_OPEN

    @property
    def refuses(self) -> bool:
        """Whether a call made now would not be let through."""
        return self.is_open and self._monotonic_seconds() < self._next_probe_at_seconds

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call: whatever it raises is a failure. Raises BreakerOpenError instead of letting it be made."""
        if self.is_open:
            if self.refuses:
                raise BreakerOpenError
            self._next_probe_at_seconds = self._monotonic_seconds() + PROBE_INTERVAL_SECONDS
        try:
            yield
        except Exception:
            self._failures += 1
            if self._failures == FAILURES_TO_OPEN:
                self.times_opened += 1
                self._next_probe_at_seconds = self._monotonic_seconds() + PROBE_INTERVAL_SECONDS
            raise
        self._failures = 0

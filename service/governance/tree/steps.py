"""Long work in bounded steps, with everybody else's turn in between."""

import asyncio


class Steps:
    """A step ends when `units` of work were done in it; what a unit is, and so how long a step, the work says."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._left = units

    async def did(self, units: int) -> None:
        """So much more was done: others' turn when it makes a step."""
        self._left -= units
        if self._left <= 0:
            self._left = self._units
            await asyncio.sleep(0)

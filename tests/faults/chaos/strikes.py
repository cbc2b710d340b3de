"""How each strike is done."""

# ruff: noqa: ARG002  # they are all called alike

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError

from tests.faults.chaos.plan import Planned, Strike
from tests.faults.chaos.scene import Scene, limits
from tests.faults.gateway import NoAnswerError

_MOST_CUT_BYTES = 20_000
_EDIT_SECONDS = 5


class Strikes:
    """`redis_lost_at` are the times at which Redis may have forgotten something, `killed_at` those of each worker."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.done: Counter[str] = Counter()
        self.redis_lost_at: list[float] = []
        self.killed_at: dict[int, list[float]] = {number: [] for number in range(len(scene.workers))}
        self._hands: dict[Strike, Callable[[Planned, random.Random], Awaitable[None]]] = {
            "kill a worker": self._kill_worker,
            "freeze a worker": self._freeze_worker,
            "kill Valkey": self._kill_valkey,
            "kill Valkey and cut its file": self._kill_valkey,
            "freeze Valkey": self._freeze_valkey,
            "FLUSHALL": self._flush,
            "lose replies of Redis": self._lose_replies,
            "freeze Postgres": self._freeze_postgres,
            "kill Postgres": self._kill_postgres,
            "change a limit": self._change_limit,
            "reset usage": self._reset_usage,
            "move a virtual key": self._move_key,
            "move a team": self._move_team,
        }

    async def strike(self, plan: Sequence[Planned]) -> None:
        """All that one hand has planned. What it broke works again at the end."""
        begun = time.monotonic()
        for planned in plan:
            await asyncio.sleep(max(planned.at_seconds - (time.monotonic() - begun), 0))
            await self._hands[planned.strike](planned, random.Random(planned.chance))
            self.done[planned.strike] += 1

    async def _kill_worker(self, planned: Planned, draw: random.Random) -> None:
        number = draw.randrange(len(self._scene.workers))
        worker = self._scene.workers[number]
        self.killed_at[number].append(time.monotonic())
        await worker.kill()
        await asyncio.sleep(planned.for_seconds)
        worker.start()
        await worker.ready()

    async def _freeze_worker(self, planned: Planned, draw: random.Random) -> None:
        worker = draw.choice(self._scene.workers)
        worker.command.send(signal.SIGSTOP)
        await asyncio.sleep(planned.for_seconds)
        worker.command.send(signal.SIGCONT)

    async def _kill_valkey(self, planned: Planned, draw: random.Random) -> None:
        valkey = self._scene.stores.valkey
        self.redis_lost_at.append(time.monotonic())
        valkey.send(signal.SIGKILL)
        await valkey.exited()
        if "cut" in planned.strike:
            self._cut(draw)
        await asyncio.sleep(planned.for_seconds)
        await valkey.start()
        self.redis_lost_at.append(time.monotonic())

    def _cut(self, draw: random.Random) -> None:
        """The tail of the append-only file, as a machine that lost its power leaves it."""
        for path in self._scene.stores.append_only_files.glob("*.incr.aof"):
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.truncate(max(size - draw.randrange(1, _MOST_CUT_BYTES), 0))

    async def _freeze_valkey(self, planned: Planned, draw: random.Random) -> None:
        self._scene.stores.valkey.send(signal.SIGSTOP)
        await asyncio.sleep(planned.for_seconds)
        self._scene.stores.valkey.send(signal.SIGCONT)

    async def _flush(self, planned: Planned, draw: random.Random) -> None:
        self.redis_lost_at.append(time.monotonic())
        async with self._scene.stores.redis() as redis:
            try:
                await redis.flushall()
            except RedisError:
                self.done["FLUSHALL that nobody heard"] += 1
        self.redis_lost_at.append(time.monotonic())

    async def _lose_replies(self, planned: Planned, draw: random.Random) -> None:
        until = time.monotonic() + planned.for_seconds
        while time.monotonic() < until:
            self._scene.proxy.lose_next = draw.choice(["silence", "cut"])
            await asyncio.sleep(draw.uniform(0, 0.1))
        self._scene.proxy.lose_next = None

    async def _freeze_postgres(self, planned: Planned, draw: random.Random) -> None:
        self._scene.stores.postgres.send(signal.SIGSTOP)
        await asyncio.sleep(planned.for_seconds)
        self._scene.stores.postgres.send(signal.SIGCONT)

    async def _kill_postgres(self, planned: Planned, draw: random.Random) -> None:
        postgres = self._scene.stores.postgres
        postgres.send(signal.SIGKILL)
        await postgres.exited()
        await asyncio.sleep(planned.for_seconds)
        await postgres.start()

    async def _change_limit(self, planned: Planned, draw: random.Random) -> None:
        tree = self._scene.tree
        path, usd = draw.choice(
            [
                (f"customers/{draw.choice(tree.customers)}", 200),
                (f"teams/{draw.choice(tree.teams)}", 100),
                (f"virtual-keys/{draw.choice(tree.keys).id}", 50),
            ]
        )
        await self._edit(path, limits(draw, usd))

    async def _reset_usage(self, planned: Planned, draw: random.Random) -> None:
        tree = self._scene.tree
        owner = draw.choice([f"teams/{draw.choice(tree.teams)}", f"virtual-keys/{draw.choice(tree.keys).id}"])
        await self._edit(owner, {"reset_budget_usage": True})

    async def _move_key(self, planned: Planned, draw: random.Random) -> None:
        tree = self._scene.tree
        owner = draw.choice([{"team_id": draw.choice(tree.teams)}, {"customer_id": draw.choice(tree.customers)}])
        await self._edit(f"virtual-keys/{draw.choice(tree.keys).id}", owner)

    async def _move_team(self, planned: Planned, draw: random.Random) -> None:
        tree = self._scene.tree
        await self._edit(f"teams/{draw.choice(tree.teams)}", {"customer_id": draw.choice(tree.customers)})

    async def _edit(self, path: str, body: object) -> None:
        """Of whichever worker answers; with everything broken it may be none."""
        try:
            answer = await self._scene.gateway.send("PUT", path, body, seconds=_EDIT_SECONDS)
        except NoAnswerError:
            self.done["edits without an answer"] += 1
        else:
            self.done["edits made" if answer.status == 200 else "edits refused"] += 1

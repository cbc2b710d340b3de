"""Gateways that ask, make calls that take a while, and report until they are told that it is booked."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

from tests.faults.chaos.calls import HOLD_SECONDS, NANOUSD, SHORT_HOLD_SECONDS, Amount, Call, Fate
from tests.faults.chaos.scene import MODELS, PROVIDERS, Scene
from tests.faults.gateway import Answer, NoAnswerError

_CALLERS = 16
_SENDERS = 6
_MOST_TOGETHER = 12
_FATES: dict[Fate, int] = {
    "reported": 60,
    "reported late": 6,
    "unannounced": 8,
    "reported once": 8,
    "never reported": 10,
    "released": 8,
}
# Their holds end before they are reported, if they are.
_OUTLIVED: tuple[Fate, ...] = ("reported late", "never reported")


class Traffic:
    """`calls` and `told` are what the books are compared with; `faults` what no service may answer."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._seed = seed
        self._outbox: list[Call] = []
        self._over = asyncio.Event()
        self.calls: dict[str, Call] = {}
        self.told: Counter[str] = Counter()
        self.faults: list[str] = []

    async def go_on(self, seconds: float) -> None:
        """For so long; then what has to be reported is still sent until it is acknowledged."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            senders = [
                group.create_task(self._send(random.Random(f"{self._seed} sender {n}"))) for n in range(_SENDERS)
            ]
            async with asyncio.TaskGroup() as callers:
                for n in range(_CALLERS):
                    callers.create_task(self._make_calls(n, until))
            self._over.set()
            await asyncio.wait(senders)

    async def _make_calls(self, caller: int, until: float) -> None:
        draw, number = random.Random(f"{self._seed} caller {caller}"), 0
        while time.monotonic() < until:
            number += 1
            call = self._new_call(draw, f"{caller}-{number}")
            self.calls[call.request_id] = call
            if call.fate != "unannounced":
                await self._authorize(call, draw)
            if call.admitted not in ("refused", "unknown"):
                await self._work_and_end(call, draw)
            await asyncio.sleep(draw.uniform(0, 0.02))

    def _new_call(self, draw: random.Random, request_id: str) -> Call:
        estimate = Amount(draw.randrange(1, 300_000_000), draw.randrange(1, 3000))
        (fate,) = draw.choices(list(_FATES), list(_FATES.values()))
        key = draw.choice(self._scene.tree.keys)
        body: dict[str, Any] = {
            "request_id": request_id,
            "virtual_key": key.value,
            "model": draw.choice(MODELS),
            "estimated_cost": estimate.cost_nanousd / NANOUSD,
            "estimated_input_tokens": estimate.tokens,
            "ttl": SHORT_HOLD_SECONDS if fate in _OUTLIVED else HOLD_SECONDS,
        }
        if draw.random() < 0.7 or fate == "unannounced":
            body["provider"] = draw.choice(PROVIDERS)
        return Call(request_id, key, fate, estimate, body)

    async def _authorize(self, call: Call, draw: random.Random) -> None:
        """Up to three times, of any worker: it is the same call as long as the id is."""
        was_told = True
        for _ in range(3):
            call.answered_by = draw.randrange(len(self._scene.workers))
            try:
                answer = await self._ask("authorize", call.body, draw, port=self._port(call.answered_by))
            except NoAnswerError:
                self.told["calls asked for without an answer"] += 1
                was_told = False
                continue
            call.answered_at = time.monotonic()
            if answer.status == 200:
                self._note_verdict(call, answer.body, was_told=was_told)
                return
            if answer.status == 409 and time.monotonic() - call.begun_at > call.hold_seconds:
                break  # an earlier attempt held, and its hold has expired
            if answer.status != 503:
                self.faults.append(f"authorize of {call.request_id} was answered {answer}")
                break
            self.told["calls that could not be decided"] += 1
        call.admitted = "unknown" if not was_told else "refused"

    def _note_verdict(self, call: Call, verdict: Any, *, was_told: bool) -> None:
        is_degraded = "degraded" in verdict
        if verdict["allowed"]:
            call.admitted = "degraded" if is_degraded else "held"
        else:
            # An earlier attempt may hold: nobody told.
            call.admitted = "refused" if was_told else "unknown"
            call.refused_while_degraded = is_degraded
        self.told[f"{'admitted' if verdict['allowed'] else 'refused'}{' while Redis was away' * is_degraded}"] += 1

    async def _work_and_end(self, call: Call, draw: random.Random) -> None:
        if call.fate == "reported late":
            await asyncio.sleep(draw.uniform(1, 2) * SHORT_HOLD_SECONDS)
        else:
            await asyncio.sleep(draw.uniform(0, 0.3))
        if call.fate == "released":
            await self._release(call, draw)
        elif call.fate != "never reported":
            call.report, call.used = _report(call, draw)
            self._outbox.append(call)

    async def _release(self, call: Call, draw: random.Random) -> None:
        try:
            answer = await self._ask("release", {"request_id": call.request_id}, draw)
        except NoAnswerError:
            call.released = "unknown"
            return
        if answer.status == 200 and answer.body["released"]:
            is_late = time.monotonic() - call.begun_at > call.hold_seconds
            call.released = "late" if is_late else "yes"
        elif answer.status != 200:
            call.released = "unknown"

    async def _send(self, draw: random.Random) -> None:
        """Whatever waits, in any order, alone or together, until nothing will wait any more."""
        while self._outbox or not self._over.is_set():
            if not self._outbox:
                await asyncio.sleep(0.01)
                continue
            draw.shuffle(self._outbox)
            together = draw.choice([1, 1, _MOST_TOGETHER])
            calls, self._outbox[:] = self._outbox[:together], self._outbox[together:]
            if not await self._report(calls, draw):
                await asyncio.sleep(0.05)

    async def _report(self, calls: list[Call], draw: random.Random) -> bool:
        for call in calls:
            call.times_sent += 1
            self.told["reports sent"] += 1
        body = [call.report for call in calls] if len(calls) > 1 else calls[0].report
        try:
            answer = await self._ask("usage", body, draw)
        except NoAnswerError:
            self.told["reports without an answer"] += len(calls)
            answer = None
        if answer is not None and answer.status == 200:
            results = answer.body["results"] if len(calls) > 1 else [answer.body]
            for call, result in zip(calls, results, strict=True):
                self._note_acknowledged(call, result, draw)
            return True
        if answer is not None and answer.status != 503:
            self.faults.append(f"usage of {[call.request_id for call in calls]} was answered {answer}")
            return True
        self._outbox += [call for call in calls if call.fate != "reported once"]
        return False

    def _note_acknowledged(self, call: Call, result: Any, draw: random.Random) -> None:
        status = result["status"]
        if status not in ("recorded", "duplicate"):
            self.faults.append(f"the report of {call.request_id} became {result}")
            return
        if call.acknowledged and status != "duplicate":
            self.faults.append(f"the repeated report of {call.request_id} was {status}")
        elif status == "duplicate" and call.times_sent == 1:
            self.faults.append(f"the first report of {call.request_id} was a duplicate")
        self.told[f"reports {status}{' late' * ('late' in result)}"] += 1
        call.acknowledged = True
        if draw.random() < 0.15:
            self._outbox.append(call)

    async def _ask(self, path: str, body: Any, draw: random.Random, *, port: int | None = None) -> Answer:
        """One in thirty does not wait for the answer."""
        port = port or self._port(draw.randrange(len(self._scene.workers)))
        seconds = draw.uniform(0.001, 0.03) if draw.random() < 0.03 and not self._over.is_set() else 10
        return await self._scene.gateway.send("POST", path, body, port=port, seconds=seconds)

    def _port(self, worker: int) -> int:
        return self._scene.workers[worker].port


def _report(call: Call, draw: random.Random) -> tuple[dict[str, Any], Amount | None]:
    """Sometimes without figures: then what was held is booked."""
    names = ("request_id", "virtual_key", "provider", "model")
    report: dict[str, Any] = {name: call.body[name] for name in names if name in call.body}
    if call.admitted == "held" and draw.random() < 0.05:
        return report, None
    cost_nanousd, tokens = draw.randrange(400_000_000), draw.randrange(4000)
    output_tokens = draw.randrange(tokens + 1)
    figures = {"input_tokens": tokens - output_tokens, "output_tokens": output_tokens}
    return report | figures | {"cost": cost_nanousd / NANOUSD}, Amount(cost_nanousd, tokens)

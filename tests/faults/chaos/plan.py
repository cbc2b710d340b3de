"""What breaks, when, and for how long: all of it decided by the seed."""

import random
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import msgspec

Strike: TypeAlias = Literal[
    "kill a worker",
    "freeze a worker",
    "kill Valkey",
    "kill Valkey and cut its file",
    "freeze Valkey",
    "FLUSHALL",
    "lose replies of Redis",
    "freeze Postgres",
    "kill Postgres",
    "change a limit",
    "reset usage",
    "move a virtual key",
    "move a team",
]
# Two hands strike at the same time: never both at the same store.
_HANDS: tuple[tuple[Strike, ...], ...] = (
    ("kill Valkey", "kill Valkey and cut its file", "freeze Valkey", "FLUSHALL", "lose replies of Redis"),
    ("freeze Postgres", "kill Postgres", "kill a worker", "freeze a worker"),
    ("change a limit", "reset usage", "move a virtual key", "move a team"),
)
_LONGEST_SECONDS = {"freeze Postgres": 3.5, "freeze a worker": 1.5, "freeze Valkey": 1.5, "lose replies of Redis": 1.0}
# Redis is given time to be found again: most calls are to meet it.
_REST_SECONDS = ((1.0, 3.0), (0.3, 1.5), (0.1, 1.0))


class Planned(msgspec.Struct, frozen=True):
    """`chance` is for the strike's own choices."""

    at_seconds: float
    strike: Strike
    for_seconds: float
    chance: int

    def __str__(self) -> str:
        return f"{self.at_seconds:6.2f} s  {self.strike}, {self.for_seconds:.2f} s"


def make_plan(seed: int, seconds: float) -> list[list[Planned]]:
    """For each hand, in order of time."""
    return [
        list(_of_hand(hand, rest, random.Random(f"{seed} {hand}"), seconds))
        for hand, rest in zip(_HANDS, _REST_SECONDS, strict=True)
    ]


def _of_hand(
    hand: tuple[Strike, ...], rest_seconds: tuple[float, float], draw: random.Random, seconds: float
) -> Iterator[Planned]:
    """Each strike comes once before one comes again."""
    at_seconds, bag = 0.5, list[Strike]()
    while True:
        if not bag:
            bag = draw.sample(hand, len(hand))
        strike = bag.pop()
        for_seconds = draw.uniform(0.1, _LONGEST_SECONDS.get(strike, 0.5))
        if at_seconds + for_seconds > seconds:
            return
        yield Planned(at_seconds, strike, for_seconds, draw.randrange(2**32))
        at_seconds += for_seconds + draw.uniform(*rest_seconds)


assert {strike for hand in _HANDS for strike in hand} == set(get_args(Strike))

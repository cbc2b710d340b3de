"""Show results: a table for people, JSON for programs."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tests.load.figures import Floor, Side, Spread, ratio
from tests.load.runner import Result

_HEADER = ("scenario", "side", "median", "min", "max", "p50 ms", "p99 ms", "cpu ms", "ratio", "floor", "")


def verdict(result: Result) -> tuple[Spread, Floor | None, bool | None]:
    """The figure the floor is of, the floor, and whether it holds (None: there is none)."""
    figure = ratio(*result.sides[:2]) if len(result.sides) > 1 else result.sides[0].value
    floor = result.scenario.floor
    return figure, floor, None if floor is None else floor.holds(figure.median)


def table(results: Sequence[Result]) -> str:
    rows = [_HEADER, *(row for result in results for row in _rows(result))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join("  ".join(_cells(row, widths)).rstrip() for row in rows)


def to_json(results: Sequence[Result], *, taken_at: datetime, about: dict[str, Any]) -> bytes:
    """Every sample of every side, the figures made of them, and what they were taken on."""
    document = {"taken_at": taken_at, "about": about, "scenarios": [_document(result) for result in results]}
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    figure, floor, holds = verdict(result)
    shown = _ratio(figure) if len(result.sides) > 1 else ""
    bound = "" if floor is None else f"{'≥' if floor.direction == 'at least' else '≤'} {floor.bound:g}"
    word = "" if holds is None else ("holds" if holds else "MISSED")
    for place, side in enumerate(result.sides):
        first = place == 0
        name = result.scenario.name if first else f"  {result.scenario.unit}" if place == 1 else ""
        # What is beside it for comparison only has its ratio in its own row.
        other = "" if place < 2 else _ratio(ratio(result.sides[0], side))
        yield (name, side.label, *_figures(side), *((shown, bound, word) if first else (other, "", "")))
    if len(result.sides) == 1:
        yield (f"  {result.scenario.unit}", *("" for _ in _HEADER[1:]))


def _ratio(figure: Spread) -> str:
    return f"{figure.median:.2f} ({figure.lowest:.2f}–{figure.highest:.2f})"


def _figures(side: Side) -> tuple[str, ...]:
    value = side.value
    numbers = (value.median, value.lowest, value.highest, side.p50_ms, side.p99_ms, side.cpu_ms)
    return tuple("" if number is None else _number(number) for number in numbers)


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if column < 2 or column > 7 else cell.rjust(width)


def _document(result: Result) -> dict[str, Any]:
    figure, floor, holds = verdict(result)
    return {
        "name": result.scenario.name,
        "says": result.scenario.says,
        "unit": result.scenario.unit,
        "sides": [{"label": side.label, "value": side.value, "samples": side.samples} for side in result.sides],
        "figure": figure,
        "beside_others": {side.label: ratio(result.sides[0], side) for side in result.sides[2:]},
        "floor": floor,
        "holds": holds,
    }

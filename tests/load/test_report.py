"""The table and the JSON: what is read of a run afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.load.bench import Bench
from tests.load.figures import Floor, Sample, Side
from tests.load.report import table, to_json
from tests.load.runner import Result, interleave
from tests.load.scenarios.scenario import Measure, Scenario
from tests.load.scenarios.table import BY_NAME, SCENARIOS


@contextmanager
def nothing(_: Bench) -> Iterator[Sequence[Measure]]:
    yield []


def result(*sides: Side, floor: Floor | None = None) -> Result:
    return Result(Scenario(name="reads", says="what it is", unit="reads/s", floor=floor, sides=nothing), list(sides))


OURS = Side("ours", [Sample(8000, 1.5, 3.25), Sample(9000, 1.5, 3.25)])
BESIDE = Side("beside", [Sample(10_000), Sample(10_000)])


def test_sides_are_measured_in_turn() -> None:
    order: list[str] = []

    def measure(label: str) -> Measure:
        def run(seconds: float) -> Sample:
            order.append(label)
            return Sample(seconds)

        return Measure(label, run)

    sides = interleave([measure("A"), measure("B")], rounds=2, seconds=3, say=lambda _: None)
    assert order == ["A", "B", "A", "B"]
    assert sides == [Side("A", [Sample(3), Sample(3)]), Side("B", [Sample(3), Sample(3)])]


def test_the_table_shows_both_sides_and_whether_the_floor_holds() -> None:
    assert table([result(OURS, BESIDE, floor=Floor(0.9))]).splitlines() == [
        "scenario   side    median     min     max  p50 ms  p99 ms  cpu ms  ratio             floor",
        "reads      ours     8,500   8,000   9,000     1.5    3.25          0.85 (0.80–0.90)  ≥ 0.9  MISSED",
        "  reads/s  beside  10,000  10,000  10,000",
    ]


def test_what_else_is_beside_it_has_its_own_ratio() -> None:
    least = Side("the least", [Sample(20_000), Sample(20_000)])
    rows = table([result(OURS, BESIDE, least, floor=Floor(0.8))]).splitlines()
    assert "0.85 (0.80–0.90)  ≥ 0.8  holds" in rows[1]
    assert rows[3].split() == ["the", "least", "20,000", "20,000", "20,000", "0.43", "(0.40–0.45)"]


def test_a_value_without_anything_beside_it_is_held_against_the_floor_itself() -> None:
    shown = table([result(Side("a worker", [Sample(300.0)]), floor=Floor(350, "at most"))])
    assert "≤ 350  holds" in shown


def test_the_json_has_every_round() -> None:
    document: dict[str, Any] = msgspec.json.decode(
        to_json([result(OURS, BESIDE, floor=Floor(0.8))], taken_at=datetime(2026, 1, 1, tzinfo=UTC), about={"cores": 2})
    )
    scenario = document["scenarios"][0]
    assert document["about"] == {"cores": 2}
    assert [sample["value"] for sample in scenario["sides"][0]["samples"]] == [8000, 9000]
    assert scenario["figure"]["highest"] == 0.9
    assert scenario["holds"] is True


def test_scenarios_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(SCENARIOS)

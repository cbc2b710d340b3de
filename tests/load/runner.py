"""Run scenarios: warm up, then measure their sides in turn, A B A B, round after round."""

import time
from collections.abc import Callable, Sequence

import msgspec
import psutil

from tests.load.bench import Bench
from tests.load.figures import Sample, Side
from tests.load.scenarios.scenario import Measure, Scenario


class Result(msgspec.Struct, frozen=True):
    """Ours first, then what is beside it, if anything."""

    scenario: Scenario
    sides: list[Side]


def run_scenario(bench: Bench, scenario: Scenario, *, say: Callable[[str], None]) -> Result:
    options = bench.options
    with scenario.sides(bench) as measures:
        for measure in () if scenario.once else measures:
            measure.run(options.warm_up_seconds)
        rounds = 1 if scenario.once else options.rounds
        return Result(scenario, interleave(measures, rounds=rounds, seconds=options.seconds, say=say))


def interleave(measures: Sequence[Measure], *, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Side]:
    samples: list[list[Sample]] = [[] for _ in measures]
    for number in range(rounds):
        for place, measure in enumerate(measures):
            sample = _measured(measure, seconds)
            samples[place].append(sample)
            say(f"  round {number + 1}: {measure.label} {sample.value:,.1f}")
    return [Side(measure.label, of_side) for measure, of_side in zip(measures, samples, strict=True)]


def _measured(measure: Measure, seconds: float) -> Sample:
    if not measure.pid:
        return measure.run(seconds)
    process = psutil.Process(measure.pid)
    cpu, clock = _cpu_seconds(process), time.perf_counter()
    sample = measure.run(seconds)
    share = (_cpu_seconds(process) - cpu) / (time.perf_counter() - clock)
    return msgspec.structs.replace(sample, cpu_share=share)


def _cpu_seconds(process: psutil.Process) -> float:
    members = (process, *process.children(recursive=True))
    return sum(times.user + times.system for times in (member.cpu_times() for member in members))

"""From a path in what a use case is given to the path in the file, where limits have sections of their own."""

import re
from collections.abc import Mapping

from service.domain.config_file.entries import ITSELF, Entity

_LIMIT = re.compile(
    r"\$(?:\.provider_configs\[(?P<config>\d+)\])?\.(?P<list>budgets|rate_limits|rate_limit)(?:\[(?P<number>\d+)\])?"
    r"(?P<rest>.*)"
)


def path_in_file(path: str | None, entity: Entity, limit_paths: Mapping[str, str]) -> str:
    """`limit_paths` are those of the file's limits, by `limit_key`."""
    if path is None:
        return entity.path
    match = _LIMIT.fullmatch(path)
    if match:
        part = ITSELF if match["config"] is None else entity.entry.provider_configs[int(match["config"])].provider
        limits, number = entity.limits_of(part), int(match["number"] or 0)
        owned = limits.budgets if match["list"] == "budgets" else limits.rate_limits
        key = limit_key(match["list"].rstrip("s"), owned[number].id) if number < len(owned) else ""
        if key in limit_paths:
            return limit_paths[key] + match["rest"]
    return entity.path + path.removeprefix("$")


def limit_key(kind: str, limit_id: str) -> str:
    return f"{kind} {limit_id}"

"""What an import did, or would do: a line for each change, and how many there were. It holds no secret."""

from typing import Any, Literal

import msgspec

from service.domain.config_file.compare import Differences
from service.domain.config_file.findings import Finding

_LONGEST_VALUE = 80
_MOST_SHOWN = 20


class Line(msgspec.Struct, frozen=True):
    """`details` is the name of what was made, what of an entity changed, or why it went."""

    sign: Literal["+", "~", "-"]
    kind: str
    id: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.kind} {self.id}" + (f"  {self.details}" if self.details else "")


class Outcome(msgspec.Struct):
    lines: list[Line] = []
    warnings: list[Finding] = []
    unchanged: int = 0

    def create(self, kind: str, entity_id: str, name: str) -> None:
        self.lines.append(Line("+", kind, entity_id, _shown(name) if name and name != entity_id else ""))

    def edit(self, kind: str, entity_id: str, changes: Differences, secrets: list[str]) -> None:
        told = [f"{name}: {_shown(before)} → {_shown(after)}" for name, (before, after) in changes.items()]
        told += [f"{name}: changed" for name in secrets]
        more = [f"and {len(told) - _MOST_SHOWN} more"] if len(told) > _MOST_SHOWN else []
        self.lines.append(Line("~", kind, entity_id, ", ".join(told[:_MOST_SHOWN] + more)))

    def delete(self, kind: str, entity_id: str, why: str = "") -> None:
        self.lines.append(Line("-", kind, entity_id, why))

    def leave(self) -> None:
        self.unchanged += 1

    def count(self, sign: str) -> int:
        return sum(line.sign == sign for line in self.lines)


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"

"""Lists of models and tools: `[]` holds nothing, `["*"]` everything; names are compared in any case."""

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

_PATTERN_PREFIX = "regex:"
_LONGEST_MATCHED = 255


class ModelList(msgspec.Struct, frozen=True, gc=False):
    """`names` are casefolded, `patterns` match whole names."""

    is_everything: bool
    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.is_everything or self.names or self.patterns)

    def holds(self, model: str) -> bool:
        if self.is_everything:
            return True
        if not self.names and not self.patterns:
            return False
        folded = model.casefold()
        return folded in self.names or any(_matches(pattern, model[:_LONGEST_MATCHED]) for pattern in self.patterns)


NOTHING = ModelList(is_everything=False)
EVERYTHING = ModelList(is_everything=True)


def model_list(items: Sequence[str]) -> ModelList:
    """From the list as it is configured."""
    if not items:
        return NOTHING
    if "*" in items:
        return EVERYTHING
    patterns = tuple(item.removeprefix(_PATTERN_PREFIX) for item in items if item.startswith(_PATTERN_PREFIX))
    names = tuple(item.casefold() for item in items if not item.startswith(_PATTERN_PREFIX))
    return ModelList(is_everything=False, names=names, patterns=patterns)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> "re.Pattern[str] | None":
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError):
        # Written past the API: what cannot be read matches nothing.
        return None


def _matches(pattern: str, model: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is not None and compiled.fullmatch(model) is not None

"""Lists of what is allowed or denied: `[]` is nothing, `["*"]` is everything."""

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from service.domain.inputs.fields import PLAIN_TEXT
from service.domain.refusals import invalid

EVERYTHING = "*"
_PATTERN_PREFIX = "regex:"

Item = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TEXT)]
Items = Annotated[list[Item], Meta(max_length=1000, description='[] is nothing, ["*"] everything')]


def check_items(items: Sequence[str], path: str, *, patterns: bool = False) -> None:
    """Raises RefusedError for `*` among others, an item given twice in any case, and a pattern that is none."""
    seen: set[str] = set()
    for number, item in enumerate(items):
        if item == EVERYTHING and len(items) > 1:
            raise invalid(f"{path}[{number}]", "'*' means everything: it stands alone")
        if item.casefold() in seen:
            raise invalid(f"{path}[{number}]", "is in the list twice")
        seen.add(item.casefold())
        if patterns and item.startswith(_PATTERN_PREFIX):
            _check_pattern(item.removeprefix(_PATTERN_PREFIX), f"{path}[{number}]")


def _check_pattern(pattern: str, path: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise invalid(path, "is no regular expression") from error

"""Documents of a page that are parsed only where someone looks into them: a list of tasks needs the half of them."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from common.json_types import Json

REMEMBERED = 2000
LONGEST_REMEMBERED = 16_000
"""Characters; so all that is remembered takes some tens of megabytes at most."""


class LazyObject(Mapping[str, Json]):
    """A stored JSON object."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: str) -> None:
        self._text = text
        self._value: dict[str, Json] | None = None

    def _parsed(self) -> dict[str, Json]:
        if self._value is None:
            self._value = _remembered(self._text) if len(self._text) <= LONGEST_REMEMBERED else json.loads(self._text)
        return self._value

    def __getitem__(self, name: str) -> Json:
        return self._parsed()[name]

    def get(self, name: str, default: Any = None) -> Any:
        # Mapping's own goes by way of an exception.
        return self._parsed().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())


@lru_cache(maxsize=REMEMBERED)
def _remembered(text: str) -> dict[str, Json]:
    """Who watches a run asks for the same ended tasks again and again; nobody changes what is parsed."""
    value: dict[str, Json] = json.loads(text)
    return value

"""From the query of GET /runs to a `RunFilter`; every parameter that can't be taken is named."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from common.engine import Engine
from common.errors import InvalidField
from common.times import rfc3339
from wes_service.core.run_filter import RunFilter
from wes_service.core.state import RunState

LONGEST_SEARCH = 1000
MOST_TAGS = 20


def run_filter(
    engines: Sequence[Engine],
    *,
    state: Iterable[str] = (),
    tag: Iterable[str] = (),
    workflow_type: Iterable[str] = (),
    since: str | None = None,
    until: str | None = None,
    search: str = "",
) -> RunFilter:
    """The filter; `InvalidField` says what there is instead. A run's type is the one that its engine runs."""
    return RunFilter(
        states=frozenset(map(_state, state)),
        engines=frozenset(name for wanted in workflow_type for name in _of_type(wanted, engines)),
        tags=_tags(list(tag)),
        since=_time("since", since),
        until=_time("until", until),
        search=_search(search),
    )


def _state(name: str) -> RunState:
    if name not in set(RunState):
        raise InvalidField("state", f"{name[:40]!r} is no state; there is {', '.join(RunState)}")
    return RunState(name)


def _of_type(wanted: str, engines: Sequence[Engine]) -> list[str]:
    found = [engine.name for engine in engines if wanted.casefold() in _types(engine)]
    if not found:
        known = ", ".join(dict.fromkeys(engine.workflow_type for engine in engines))
        raise InvalidField("workflow_type", f"{wanted[:40]!r} is not known; there is {known}")
    return found


def _types(engine: Engine) -> set[str]:
    return {name.casefold() for name in (engine.workflow_type, *engine.type_aliases)}


def _tags(texts: Sequence[str]) -> frozenset[str]:
    for text in texts:
        if ":" not in text:
            raise InvalidField("tag", f"{text[:40]!r} has no colon; write key:value")
    if len(set(texts)) > MOST_TAGS:
        raise InvalidField("tag", f"at most {MOST_TAGS} are possible")
    return frozenset(texts)


def _time(field: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return rfc3339(text)
    except ValueError:
        example = "write it like 2025-06-07T12:00:00Z, or with an offset, whose + is %2B in a URL"
        raise InvalidField(field, f"{text[:40]!r} is not a time of RFC 3339; {example}") from None


def _search(text: str) -> str:
    if len(text) > LONGEST_SEARCH:
        raise InvalidField("search", f"longer than {LONGEST_SEARCH} characters")
    if any(ord(character) < 32 for character in text):
        raise InvalidField("search", "holds a control character")
    return text.casefold()

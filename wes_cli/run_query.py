"""Which runs `wes ls` shows: the filters of GET /runs, and what stands in for them on a server that has none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.times import exact_time
from wes_cli.errors import Unusable
from wes_cli.views import RunLine
from wes_service.core.run import RunState

_SPAN = re.compile(r"(\d{1,6})(min|h|d|w)")
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """All that is given must hold. `tags` are `key:value`; `types` are names of workflow types."""

    states: Sequence[str] = ()
    tags: Sequence[str] = ()
    types: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    search: str = ""

    def parameters(self) -> dict[str, list[str]]:
        """The query of GET /runs; empty where every run is wanted."""
        given = {
            "state": list(self.states),
            "tag": list(self.tags),
            "workflow_type": list(self.types),
            "since": [exact_time(self.since)] if self.since else [],
            "until": [exact_time(self.until)] if self.until else [],
            "search": [self.search] if self.search else [],
        }
        return {name: values for name, values in given.items() if values}

    def matches(self, run: RunLine) -> bool:
        """By what the standard lists of a run, which tells when it started and not when it was submitted."""
        tags = {f"{key}:{value}" for key, value in run.tags.items()}
        return (
            (not self.states or run.state in self.states)
            and tags.issuperset(self.tags)
            and (self.since is None or (run.started is not None and run.started >= self.since))
            and (self.until is None or (run.started is not None and run.started < self.until))
            and self._found_in(run, tags)
        )

    def _found_in(self, run: RunLine, tags: set[str]) -> bool:
        wanted = self.search.casefold()
        return run.id.casefold().startswith(wanted) or any(wanted in tag.casefold() for tag in tags)


def moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """So long before `now` (`90min`, `12h`, `2d`, `1w`), or a date or time of ISO 8601, local without an offset."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text.strip())
    try:
        if span:
            return now - int(span[1]) * UNITS[span[2]]
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise Unusable(
            f"{option} {text!r}: write a span like 90min, 12h, 2d, 1w, or a time like 2025-06-07T12:00"
        ) from None


def state(word: str) -> str:
    """`Unusable` lists the states where it is none."""
    if word.upper() not in set(RunState):
        raise Unusable(f"--state {word!r} is no state; there is {', '.join(RunState)}")
    return word.upper()


def tag(word: str) -> str:
    """As a server wants it; NAME=VALUE is how `wes run --tag` takes it."""
    name, equals, value = word.partition("=")
    if equals and ":" not in name:
        return f"{name}:{value}"
    if ":" not in word:
        raise Unusable(f"--tag {word!r}: write NAME=VALUE")
    return word

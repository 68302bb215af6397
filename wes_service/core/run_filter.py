"""Which of an owner's runs a list shows."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wes_service.core.run import Run, RunRequest
from wes_service.core.state import RunState


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """All that is given must hold; what is empty or None holds for every run.

    `states`, `engines`: one of them. `tags`: each of them, as `tag_texts` writes them. `since` (inclusive) and `until`
    (exclusive), UTC: when the run was created. `search`: casefolded; the beginning of the run's id, or a part of its
    `search_text`.
    """

    states: frozenset[RunState] = frozenset()
    engines: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    search: str = ""

    def matches(self, run: Run) -> bool:
        """What the stores decide by their indexes, for one run."""
        return (
            (not self.states or run.state in self.states)
            and (not self.engines or run.engine in self.engines)
            and self.tags <= tag_texts(run.request.tags)
            and (self.since is None or run.created >= self.since)
            and (self.until is None or run.created < self.until)
            and (run.id.casefold().startswith(self.search) or self.search in search_text(run.request))
        )

    @property
    def digest(self) -> str:
        """Short, and another one for another filter; empty where every run is wanted."""
        if self == EVERY_RUN:
            return ""
        parts = [sorted(self.states), sorted(self.engines), sorted(self.tags), self.since, self.until, self.search]
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()[:12]


EVERY_RUN = RunFilter()


def tag_texts(tags: Mapping[str, str]) -> frozenset[str]:
    """Each tag as `key:value`; a key or value that holds a colon itself needs no other way to be written."""
    return frozenset(f"{key}:{value}" for key, value in tags.items())


def search_text(request: RunRequest) -> str:
    """What a search looks into: where the workflow lies, and the tags; casefolded, a line each."""
    return "\n".join([request.workflow_url, *sorted(tag_texts(request.tags))]).casefold()

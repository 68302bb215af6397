"""The read-only TES over the tasks of a caller's runs: pages of tasks across runs, newest run first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wes_service.core.errors import InvalidField, RunNotFound
from wes_service.core.json_types import Json
from wes_service.core.paging import Cursor, decode, encode
from wes_service.core.ports import RunStore, TaskStore
from wes_service.core.run import Owner, RunSummary
from wes_service.core.task import TAG_RUN, Task
from wes_service.core.tes_view import View, has_tags, tes_view

PAGE_SIZE = 256
LARGEST_PAGE = 2047
CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class TaskFilter:
    """All must match; an empty `name_prefix` or `state`, and a tag without a value, match any."""

    name_prefix: str = ""
    state: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def matches(self, task: Task) -> bool:
        if self.state and task.state != self.state:
            return False
        return task.name.startswith(self.name_prefix) and has_tags(task, self.tags)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """After which task of which run a page begins; `run` is the run's own place in the list of runs."""

    run: Cursor
    task: Cursor


@dataclass(frozen=True, kw_only=True)
class TesReader:
    """Shows tasks of the owner's runs only."""

    runs: RunStore
    tasks: TaskStore

    def get(self, owner: Owner, task_id: str, view: View) -> dict[str, Json]:
        """`TaskNotFound` for a task that is not there or not the owner's."""
        return tes_view(self.tasks.find(owner, task_id), view)

    def page(self, owner: Owner, wanted: TaskFilter, size: int, token: str, view: View) -> dict[str, Json]:
        """Schema tesListTasksResponse; without `next_page_token` on the last page."""
        if not 1 <= size <= LARGEST_PAGE:
            raise InvalidField("page_size", f"from 1 to {LARGEST_PAGE} is possible, not {size}")
        found: list[tuple[RunSummary, Task]] = []
        for run, task in self._all(owner, wanted.tags.get(TAG_RUN), _decode(token)):
            if not wanted.matches(task):
                continue
            if len(found) == size:
                return {
                    "tasks": [tes_view(task, view) for _, task in found],
                    "next_page_token": _encode(_place(*found[-1])),
                }
            found.append((run, task))
        return {"tasks": [tes_view(task, view) for _, task in found]}

    def _all(self, owner: Owner, run_id: str | None, after: _Place | None) -> Iterator[tuple[RunSummary, Task]]:
        for run in self._one(owner, run_id) if run_id else self._runs(owner, after):
            begins = after.task if after and after.run.id == run.id else None
            for task in self._tasks(run.id, begins):
                yield run, task

    def _one(self, owner: Owner, run_id: str) -> Iterator[RunSummary]:
        try:
            yield self.runs.summary(owner, run_id)
        except RunNotFound:
            return

    def _runs(self, owner: Owner, after: _Place | None) -> Iterator[RunSummary]:
        cursor = None
        if after is not None:
            yield from self._one(owner, after.run.id)
            cursor = after.run
        while True:
            page = self.runs.page(owner, CHUNK, cursor)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def _tasks(self, run_id: str, after: Cursor | None) -> Iterator[Task]:
        while True:
            page = self.tasks.page(run_id, CHUNK, after)
            yield from page.items
            after = page.next
            if after is None:
                return


def _place(run: RunSummary, task: Task) -> _Place:
    return _Place(run=Cursor(created=run.created, id=run.id), task=Cursor(created=task.created, id=task.id))


def _encode(place: _Place) -> str:
    return f"{encode(place.run)}.{encode(place.task)}"


def _decode(token: str) -> _Place | None:
    if not token:
        return None
    first, _, second = token.partition(".")
    run, task = decode(first), decode(second)
    if run is None or task is None:
        raise InvalidField("page_token", "this is not a token of this server")
    return _Place(run=run, task=task)

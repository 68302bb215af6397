"""The read-only TES over the tasks of a caller's runs: pages of tasks across runs, newest run first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import InvalidField
from common.masking import masked
from common.paging import TaskCursor, decode, encode
from tes.task import TAG_RUN, Task, View, task_view
from wes_service.core.ports import TaskStore
from wes_service.core.run import Owner

TASK_PAGE_SIZE = 256
MAX_TASK_PAGE_SIZE = 2047
TASKS_PER_QUERY = 256
FIELDS = ("name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags", "logs")
"""Of a task that are shown."""


@dataclass(frozen=True, kw_only=True)
class TaskFilter:
    """All must match; an empty `name_prefix` or `state`, and a tag without a value, match any."""

    name_prefix: str = ""
    state: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def matches(self, task: Task) -> bool:
        """Whether a task is to be listed."""
        if self.state and task.state != self.state:
            return False
        tags = task.body.get("tags") or {}
        has_tags = all(key in tags and value in ("", tags[key]) for key, value in self.tags.items())
        return has_tags and task.name.startswith(self.name_prefix)


@dataclass(frozen=True, kw_only=True)
class TesReader:
    """Shows tasks of the owner's runs only."""

    tasks: TaskStore

    def get(self, owner: Owner, task_id: str, view: View) -> dict[str, Any]:
        """`TaskNotFound` for a task that is not there or not the owner's."""
        return shown(self.tasks.find(owner, task_id), view)

    def page(self, owner: Owner, filters: TaskFilter, size: int, token: str, view: View) -> dict[str, Any]:
        """Schema tesListTasksResponse; without `next_page_token` on the last page."""
        if not 1 <= size <= MAX_TASK_PAGE_SIZE:
            raise InvalidField("page_size", f"from 1 to {MAX_TASK_PAGE_SIZE} is possible, not {size}")
        matching: list[tuple[TaskCursor, Task]] = []
        for place, task in self._all(owner, filters.tags.get(TAG_RUN), _decode(token)):
            if not filters.matches(task):
                continue
            if len(matching) == size:
                return {
                    "tasks": [shown(task, view) for _, task in matching],
                    "next_page_token": _encode(matching[-1][0]),
                }
            matching.append((place, task))
        return {"tasks": [shown(task, view) for _, task in matching]}

    def _all(self, owner: Owner, run_id: str | None, after: TaskCursor | None) -> Iterator[tuple[TaskCursor, Task]]:
        while chunk := self.tasks.all_of(owner, TASKS_PER_QUERY, after, run_id or None):
            yield from chunk
            if len(chunk) < TASKS_PER_QUERY:
                return
            after = chunk[-1][0]


def shown(task: Task, view: View) -> dict[str, Any]:
    """A recorded task by its id here, without credentials (TES 1.1.0, GetTask)."""
    whole: Any = {"id": task.id, "state": task.state.value}
    if view is not View.MINIMAL:
        newest = {name: value for name, value in task.document.items() if value not in (None, "", [], {})}
        recorded: Any = {**task.body, **newest}
        whole |= {name: masked(recorded[name]) for name in FIELDS if name in recorded}
        whole["creation_time"] = task.creation_time
    return {**task_view(whole, view)}


def _encode(place: TaskCursor) -> str:
    return f"{encode(place.run)}.{encode(place.task)}"


def _decode(token: str) -> TaskCursor | None:
    if not token:
        return None
    first, _, second = token.partition(".")
    run, task = decode(first), decode(second)
    if run is None or task is None:
        raise InvalidField("page_token", "this is not a token of this server")
    return TaskCursor(run=run, task=task)

"""How many tasks of one worker, and of one owner there, are on TES servers at once; what is over that waits here.

Whose tasks are handed over next is fair: first the owner with the fewest, of that owner the run with the fewest, and of
that run the oldest task. So one run with 10,000 tasks does not keep another one's single task waiting.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from gateway.followed_task import FollowedTask
from wes_service.core.run import Owner

WORKER_SETTING = "WES_OPEN_TASKS"
OWNER_SETTING = "WES_OWNER_OPEN_TASKS"


@dataclass(kw_only=True)
class RunShare:
    """The tasks of one run: those that count, by id, and those that wait, oldest first."""

    owner: Owner
    open: set[str] = field(default_factory=set)
    waiting: OrderedDict[str, FollowedTask] = field(default_factory=OrderedDict)


class OpenTaskLimits:
    """One per gateway, used in its loop only. None: as many as there are."""

    def __init__(self, per_worker: int | None, per_owner: int | None) -> None:
        self._per_worker = per_worker
        self._per_owner = per_owner
        self._runs: dict[str, RunShare] = {}

    def enter(self, followed: FollowedTask, owner: Owner, *, is_out: bool) -> str:
        """Takes a task in; the sentence on the limit that it waits for, empty where it `holds` its place at once.

        `is_out`: a TES has it, or may have it, so that it counts already. Whatever its end is, it is to `leave` then.
        """
        run = self._runs.setdefault(followed.task.run_id, RunShare(owner=owner))
        if followed.task.id in run.open:
            return ""
        limit = "" if is_out else self._limit(owner)
        if limit:
            run.waiting[followed.task.id] = followed
        else:
            run.open.add(followed.task.id)
        return limit

    def holds(self, followed: FollowedTask) -> bool:
        """Whether the task may be handed over."""
        run = self._runs.get(followed.task.run_id)
        return run is not None and followed.task.id in run.open

    def leave(self, followed: FollowedTask) -> None:
        """The task has ended, or is not followed any more; those that have a place by that are woken."""
        run = self._runs.get(followed.task.run_id)
        if run is None:
            return
        run.open.discard(followed.task.id)
        run.waiting.pop(followed.task.id, None)
        if not run.open and not run.waiting:
            del self._runs[followed.task.run_id]
        while (following := self._next()) is not None:
            task_id, task = following.waiting.popitem(last=False)
            following.open.add(task_id)
            task.woken.set()

    def _next(self) -> RunShare | None:
        """The run whose task is handed over next; None where none waits, or no limit lets it."""
        able = [run for run in self._runs.values() if run.waiting and not self._limit(run.owner)]
        return min(able, key=lambda run: (self._open(run.owner), len(run.open)), default=None)

    def _limit(self, owner: Owner) -> str:
        if self._per_worker is not None and self._open() >= self._per_worker:
            return f"this worker's limit of open tasks is {self._per_worker} ({WORKER_SETTING})"
        if self._per_owner is not None and self._open(owner) >= self._per_owner:
            return f"their owner's limit of open tasks on this worker is {self._per_owner} ({OWNER_SETTING})"
        return ""

    def _open(self, owner: Owner | None = None) -> int:
        return sum(len(run.open) for run in self._runs.values() if owner in (None, run.owner))

"""Whether a task's work was done before, by a task of an earlier run of the same owner's, and what is done then."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from common.errors import DiskFull, InvalidLocation, StoreUnavailable
from gateway.adopted_outputs import AdoptedOutputs
from gateway.content_digests import InputContents, NotWanted
from gateway.delivered_files import DeliveredFiles, NotReusable
from gateway.followed_task import FollowedTask
from gateway.reuse_key import reuse_key
from gateway.task_documents import exit_code, newest_logs
from gateway.transfer_threads import TransferThreads
from gateway.translation import UnusableInput
from tes.task import Task, TaskOfRun, TaskState, TesOutputFileLog, TesTask, TesTaskLog
from wes_service.core.ports import TaskStore
from wes_service.core.run import Owner

log = structlog.get_logger(__name__)

MOST_SOURCES = 20
"""Earlier tasks that are looked at."""
_UNREADABLE = (UnusableInput, InvalidLocation, OSError, NotWanted)


@dataclass(frozen=True, kw_only=True)
class ReuseScope:
    """Whose tasks a run may reuse: those of `runs`, its ancestors, and with `any_run` of all runs of its owner's."""

    runs: tuple[str, ...] = ()
    any_run: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether all its tasks are to run."""
        return not (self.runs or self.any_run)


@dataclass(frozen=True, kw_only=True)
class TaskReuse:
    """Of the tasks of one run."""

    owner: Owner
    scope: ReuseScope
    store: TaskStore
    contents: InputContents
    delivered: DeliveredFiles
    outputs: AdoptedOutputs
    threads: TransferThreads
    is_on: bool = True
    """Whether contents are digested at all: without that nothing is reused, now or later."""
    _taken: set[TaskOfRun] = field(default_factory=set)

    def took(self, task: Task) -> None:
        """Of an earlier attempt at the run."""
        if task.reused_from is not None:
            self._taken.add(task.reused_from)

    async def with_key(self, followed: FollowedTask) -> Task:
        """The task with the key of its work; without one where that can't be told, so that it runs and is never
        reused."""
        task, root = followed.task, self.contents.files.root
        if not self.is_on:
            return task
        content_of = partial(self.contents.at, wanted=lambda: not followed.cancel_requested)
        try:
            key = await self.threads.run(reuse_key, task.body, root, content_of)
        except _UNREADABLE as error:
            log.info("no reuse key", action="reuse", run_id=task.run_id, task_id=task.id, problem=str(error))
            return task
        return replace(task, reuse_key=key)

    async def reused(self, followed: FollowedTask) -> Task | None:
        """The task as one that has ended well, its outputs in place; None where it has to run.

        Several steps may do the same work, as repetitions of a simulation do, and each has left something else: so each
        earlier task is taken by one task only, that of its own step before others.
        """
        task = followed.task
        if task.reuse_key is None or self.scope.is_empty:
            return None
        for source in await self.threads.run(self._sources, task.reuse_key, task.key):
            origin = TaskOfRun(run_id=source.run_id, task_id=source.id)
            if source.run_id == task.run_id or exit_code(source.document) or origin in self._taken:
                continue
            self._taken.add(origin)
            try:
                await self.threads.run(self.outputs.adopt, source, task, lambda: not followed.cancel_requested)
            except (NotReusable, NotWanted) as error:
                why = log.bind(action="reuse", run_id=task.run_id, task_id=task.id)
                why.info("not reused", source=f"{source.run_id}/{source.id}", problem=str(error))
                self._taken.discard(origin)
                continue
            return replace(reused_task(task, source), reused_from=origin)
        return None

    async def note_outputs(self, followed: FollowedTask, ended: Task) -> None:
        """Makes a task that has ended well one that may be reused; nothing for any other."""
        if ended.state is not TaskState.COMPLETE or ended.reuse_key is None or exit_code(ended.document):
            return
        try:
            await self.threads.run(self.delivered.record, ended, lambda: not followed.cancel_requested)
        except _UNREADABLE as error:
            log.info("not reusable", action="reuse", run_id=ended.run_id, task_id=ended.id, problem=str(error))

    def _sources(self, key: str, step_key: str | None) -> list[Task]:
        runs = None if self.scope.any_run else self.scope.runs
        try:
            return list(self.store.reusable(self.owner, key, runs, MOST_SOURCES, step_key))
        except (StoreUnavailable, DiskFull):
            return []


def reused_task(task: Task, source: Task) -> Task:
    """`task` as it is once it has the outputs of `source`: with that one's log, in which the outputs are its own."""
    logs = newest_logs(source.document).get("logs") or []
    document: TesTask = {"logs": [_with_outputs(one, _renamed(task, source)) for one in logs[-1:]]}
    return replace(task, state=TaskState.COMPLETE, document=document)


def _renamed(task: Task, source: Task) -> Mapping[str, str]:
    """The URL of each output of the one by that of the other."""
    pairs = zip(source.body.get("outputs") or [], task.body.get("outputs") or [], strict=False)
    return {before["url"]: after["url"] for before, after in pairs}


def _with_outputs(entry: TesTaskLog, renamed: Mapping[str, str]) -> TesTaskLog:
    shown = entry.copy()
    if outputs := entry.get("outputs"):
        moved: list[TesOutputFileLog] = [{**one, "url": _moved(one["url"], renamed)} for one in outputs]
        shown["outputs"] = moved
    return shown


def _moved(url: str, renamed: Mapping[str, str]) -> str:
    for before, after in renamed.items():
        if url == before or url.startswith(before.rstrip("/") + "/"):
            return after.rstrip("/") + url[len(before.rstrip("/")) :]
    return url

"""The gateway's side of one run: its secret, its tasks, and closing them all."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from common.engine import RunFolder
from common.errors import ObjectStoreFailure, StaleClaim, TaskNotFound
from common.json_types import Json
from common.run_root import RunLocation, RunRoot
from gateway import policy
from gateway.followed_task import FollowedTask
from gateway.policy import FilePolicy
from gateway.step_requests import NamedSteps, StepRules
from gateway.task_follower import TaskFollower
from gateway.task_record import DATABASE, NOT_STORED
from gateway.task_reuse import ReuseScope
from gateway.tes_client import TesClient
from sandbox.identity import Identity
from tes.task import TAG_KEY, Task, TaskState, TesTask, checked_task
from wes_service.core.ports import Lease, TaskStore
from wes_service.core.run import Owner

log = structlog.get_logger(__name__)

FETCH_SECONDS = 60.0
"""After which a file that still comes is asked for once more."""
FETCH_AGAIN_SECONDS = 1.0
"""Between two tries at a store that is away."""
KEPT_SECONDS = 60.0
"""For which a task that has ended is whole in memory."""
RECORD_SECONDS = 45.0
"""Below the time that engines wait for an answer."""
ADOPTED = frozenset(TaskState) - {TaskState.CANCELED, TaskState.CANCELING}
"""States of a task that is the answer to whoever sends its step again. How it ended is part of it: the same engine has
seen it, or would have, and a step that it tries again has another key."""


@dataclass(frozen=True, kw_only=True)
class RunScope:
    """What a session needs to know of its run."""

    lease: Lease
    owner: Owner
    root: RunRoot
    identity: Identity
    resources: Mapping[str, float] = field(default_factory=dict)
    tes: str = ""
    """Which TES the run asks for, by name or label; empty for any."""
    reuse: ReuseScope = field(default_factory=ReuseScope)
    rules: StepRules = field(default_factory=StepRules)

    @property
    def folder(self) -> RunFolder:
        """The run's."""
        return self.root.folder


@dataclass(kw_only=True)
class Session:
    """One run's tasks; made and used in the gateway's loop only.

    Raises `InvalidField` for a task that can't be taken, `StaleClaim` where the run is another worker's by now.
    """

    scope: RunScope
    store: TaskStore
    follower: TaskFollower
    gateway: str
    """By which name this gateway's tasks are listed on a TES."""
    storages: frozenset[str] = frozenset()
    """In which TES servers have the files of all runs."""
    fetch_file: Callable[[RunLocation], Awaitable[None]] | None = None
    """Brings the bytes of a file that are in a store still, where the run uses one."""
    backend_parameters: frozenset[str] = frozenset()
    """Names of those that the operator lets tasks hand on to a TES."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    closed: bool = False
    tasks: dict[str, FollowedTask] = field(default_factory=dict)
    named: NamedSteps = field(init=False)
    _by_key: dict[str, str] = field(default_factory=dict)
    _fetching: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)
    _dropped: set[str] = field(default_factory=set)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.named = NamedSteps(rules=self.scope.rules)

    async def create(self, body: Json, now: datetime) -> Task:
        """Records the task, starts to hand it over, and returns it at once; a known key returns the task that is.

        `StoreUnavailable` where the database is away for longer than a client waits for an answer.
        """
        permitted = self._without_backend_parameters(self._file_policy.permitted(checked_task(body)))
        known = self._known(policy.step_key(permitted))
        if known is not None:
            return known
        task = self._task(permitted, now)
        logs = self.scope.folder.task_logs(task.id)
        # Known before the first await: the same request, sent again by an engine that lost the answer, finds it.
        followed = FollowedTask(task=task, logs=logs, is_new=True)
        self.named.add(task.name)
        if task.key:
            self._by_key[task.key] = task.id
        self.tasks[task.id] = followed
        try:
            await self._recorded(task, logs)
        except BaseException:
            self._forget(task)
            raise
        self._follow(followed)
        return task

    def get(self, task_id: str) -> FollowedTask:
        """`TaskNotFound` for a task that is not of this run."""
        try:
            return self.tasks[task_id]
        except KeyError:
            raise TaskNotFound from None

    async def recorded(self, followed: FollowedTask) -> Task:
        """All that is known of a task; `StoreUnavailable`."""
        if not followed.is_shortened:
            return followed.task
        return await asyncio.to_thread(self.store.get, self.scope.lease.run_id, followed.task.id)

    def tagged(self, tags: Mapping[str, str]) -> Sequence[FollowedTask]:
        """Those that have all of these tags (an empty value: any), oldest first; of a step key the newest one only."""
        tasks = list(self.tasks.values())
        if key := tags.get(TAG_KEY):
            tasks = [self.tasks[self._by_key[key]]] if key in self._by_key else []
        return [one for one in tasks if _has_tags(one.task, tags)]

    def resume(self, task: Task, clients: Sequence[TesClient], *, ending: bool = False) -> None:
        """Goes on with a task of an earlier attempt, so that an engine which sends its step again finds it; any of
        `clients` may have one that names no TES. `ending`: nobody waits for it any more.

        A task without a key is found by nobody: what is open of it is cancelled.
        """
        followed = FollowedTask(task=task, logs=self.scope.folder.task_logs(task.id))
        self.named.add(task.name)
        self.tasks[task.id] = followed
        if task.key:
            self._by_key[task.key] = task.id
        self.follower.reuse.took(task)
        if task.terminal:
            lost = task.state in {TaskState.SYSTEM_ERROR, TaskState.PREEMPTED}
            followed.failure = task.reason if lost else None
            followed.shorten()
            return
        followed.cancel_requested = ending or not task.key or task.state is TaskState.CANCELING
        if task.tes_id is None:
            followed.may_have = list(clients)
            self._follow(followed)
            return
        followed.client = next((client for client in clients if client.url == task.tes_url), None)
        if followed.client is not None:
            self._follow(followed)
            return
        reason = f"the TES {task.tes_url}, which has it, is not configured any more (wes.toml, WES_TES_URLS)"
        self._run(self.follower.record.give_up(followed, reason))

    async def fetch(self, url: str, seconds: float) -> bool:
        """Whether the bytes of a file in the work folder are there; it goes on where that takes more `seconds`.

        `InvalidField` for what is no such file, `UnusableInput` where they can't be had, `ObjectStoreFailure` where
        they may be later.
        """
        location = self._file_policy.own_file("url", url)
        if self.fetch_file is None:
            return True
        fetching = self._fetching.get(url)
        if fetching is None:
            fetching = self._fetching[url] = asyncio.ensure_future(self.fetch_file(location))
            fetching.add_done_callback(lambda done: self._fetched(url, done))
        await asyncio.wait({fetching}, timeout=seconds)
        if fetching.done():
            fetching.result()
        return fetching.done()

    async def fetch_all(self, urls: Iterable[str]) -> None:
        """As `fetch`, and waits for as long as the run's TES servers are waited for."""
        until = time.monotonic() + self.follower.polling.patience
        left = list(urls)
        while left:
            results = await asyncio.gather(*(self.fetch(url, FETCH_SECONDS) for url in left), return_exceptions=True)
            for error in results:
                if isinstance(error, BaseException) and not isinstance(error, ObjectStoreFailure):
                    raise error
                if isinstance(error, ObjectStoreFailure) and time.monotonic() > until:
                    raise error
            left = [url for url, result in zip(left, results, strict=True) if result is not True]
            if any(isinstance(result, ObjectStoreFailure) for result in results):
                await asyncio.sleep(FETCH_AGAIN_SECONDS)

    def cancel(self, task_id: str) -> None:
        """`TaskNotFound`; the TES is asked soon."""
        followed = self.get(task_id)
        followed.cancel_requested = True
        followed.woken.set()

    async def close(self) -> bool:
        """Takes no more tasks, cancels those that are open, and returns when all are terminal; whether each was seen
        to end on its TES."""
        self.closed = True
        for task_id, followed in self.tasks.items():
            if not followed.task.terminal:
                followed.closing = followed.closing or time.monotonic()
                self.cancel(task_id)
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        return all(followed.task.terminal and not followed.unconfirmed for followed in self.tasks.values())

    async def drop(self) -> None:
        """Takes no more tasks and stops to follow those that there are."""
        self._leave()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def failure(self) -> str | None:
        """Why the service lost a task of this run, where it did."""
        return next((task.failure for task in self.tasks.values() if task.failure), None)

    def _fetched(self, url: str, done: "asyncio.Future[None]") -> None:
        self._fetching.pop(url, None)
        if not done.cancelled():
            # Who asked may be gone.
            done.exception()

    def _known(self, key: str | None) -> Task | None:
        task_id = self._by_key.get(key) if key else None
        task = self.tasks[task_id].task if task_id else None
        return task if task and task.state in ADOPTED else None

    @property
    def _file_policy(self) -> FilePolicy:
        return FilePolicy(root=self.scope.root, storages=self.storages)

    def _without_backend_parameters(self, task: TesTask) -> TesTask:
        kept, dropped = policy.with_backend_parameters(task, self.backend_parameters)
        new = [name for name in dropped if name not in self._dropped]
        if new:
            self._dropped.update(new)
            names = ", ".join(new)
            self.follower.note(
                f"backend_parameters that no TES is given here: {names} (see WES_TES_BACKEND_PARAMETERS)"
            )
        return kept

    def _task(self, permitted: TesTask, now: datetime) -> Task:
        task_id = secrets.token_hex(10)
        run_id, owner = self.scope.lease.run_id, self.scope.owner
        body = policy.tagged(permitted, run_id=run_id, task_id=task_id, owner=owner, gateway=self.gateway)
        body = policy.with_log_files(body, self.scope.folder.seen.task_logs(task_id))
        body = self.scope.rules.applied(policy.with_resources(body, self.scope.resources))
        return Task(
            id=task_id,
            run_id=run_id,
            name=policy.step_name(body),
            key=policy.step_key(body),
            attempt=policy.step_attempt(body),
            created=now,
            body=body,
        )

    async def _recorded(self, task: Task, logs: Path) -> None:
        """Waits for the database, but not for longer than engines wait for an answer."""
        end, wait = time.monotonic() + RECORD_SECONDS, 0.1
        while True:
            try:
                await asyncio.to_thread(self._record, task, logs)
            except NOT_STORED as error:
                self.follower.record.outages.begin(DATABASE, str(error))
                if time.monotonic() + wait > end:
                    raise
                await asyncio.sleep(wait)
                wait = min(wait * 2, 2.0)
            else:
                self.follower.record.outages.end(DATABASE)
                return

    def _record(self, task: Task, logs: Path) -> None:
        self.store.add(self.scope.lease, task)
        for folder in (logs.parent.parent, logs.parent, logs):
            self.scope.identity.make_folder(folder, 0o711)

    def _forget(self, task: Task) -> None:
        self.tasks.pop(task.id, None)
        if task.key:
            self._by_key.pop(task.key, None)

    def _follow(self, followed: FollowedTask) -> None:
        self._run(self._follow_to_end(followed))

    async def _follow_to_end(self, followed: FollowedTask) -> None:
        await self.follower.follow(followed)
        # The engine asks for all of it right after the end.
        asyncio.get_running_loop().call_later(KEPT_SECONDS, followed.shorten)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        running = asyncio.get_running_loop().create_task(work)
        self._running.add(running)
        running.add_done_callback(self._done)

    def _done(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if not running.cancelled() and isinstance(running.exception(), StaleClaim):
            log.warning("the run is another worker's", action="lease_lost", run_id=self.scope.lease.run_id)
            self._leave()

    def _leave(self) -> None:
        """Takes no more tasks and stops to follow those that there are, as they are not this worker's."""
        self.closed = True
        for running in list(self._running):
            running.cancel()


def _has_tags(task: Task, tags: Mapping[str, str]) -> bool:
    own = task.body.get("tags") or {}
    return all(key in own and value in {"", own[key]} for key, value in tags.items())

"""What is written down of tasks that are followed: their states, before anybody is told, and what does not answer."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from common.errors import DiskFull, ObjectStoreFailure, StoreUnavailable
from gateway.followed_task import FollowedTask
from gateway.outages import Outages
from gateway.tes_client import TesClient, TesUnreachable
from gateway.tes_servers import TesServers
from tes.task import PendingCancel, Task, TaskState
from wes_service.core.ports import Lease, TaskStore

log = structlog.get_logger(__name__)

DATABASE = "the database"
NOT_STORED = (StoreUnavailable, DiskFull)
LONGEST_PAUSE = 5.0
"""Seconds between two tries to write to the database."""


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """Of the tasks of one run. Methods raise `StaleClaim` where the run is another worker's by now."""

    store: TaskStore
    lease: Lease
    servers: TesServers
    outages: Outages
    count_state: Callable[[str | None, str], None]
    now: Callable[[], datetime]

    async def move(self, followed: FollowedTask, after: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        """The task becomes `after`, in the store first, with what is to be cancelled on a TES."""
        await self._write(after, cancels)
        if after.state is not followed.task.state:
            log.info("task", action="task_state", run_id=after.run_id, task_id=after.id, state=after.state.value)
            self.count_state(after.tes_url, after.state.value)
        followed.task = after
        async with followed.changed:
            followed.changed.notify_all()

    async def record_cancel(self, followed: FollowedTask) -> None:
        """Stores that the task is to be cancelled, where it is, before any TES is asked to."""
        if followed.cancel_requested and followed.task.state is not TaskState.CANCELING:
            await self.move(followed, replace(followed.task, state=TaskState.CANCELING))

    async def give_up(self, followed: FollowedTask, reason: str) -> None:
        """Ends a task that may still be on a TES, where it is cancelled as soon as that can be asked."""
        cancels = self.cancels(followed)
        if followed.cancel_requested:
            reason = f"it was to be cancelled, but {reason}"
        else:
            was_lost = followed.task.tes_id is not None
            followed.failure = f"the task {followed.task.name!r} was lost: {reason}" if was_lost else reason
        if cancels:
            reason = f"{reason}; it is cancelled there as soon as that can be asked"
        followed.unconfirmed = bool(cancels)
        await self.move(followed, replace(followed.task, state=TaskState.SYSTEM_ERROR, reason=reason), cancels)

    def cancels(self, followed: FollowedTask) -> list[PendingCancel]:
        """For each TES that may have the task."""
        task = followed.task
        ids = {task.tes_url: task.tes_id} if task.tes_url else {client.url: None for client in followed.may_have}
        return [
            PendingCancel(
                run_id=task.run_id,
                task_id=task.id,
                submission=task.submission,
                tes_url=url,
                tes_id=tes_id,
                since=self.now(),
            )
            for url, tes_id in ids.items()
        ]

    def no_answer(self, client: TesClient, error: Exception) -> str:
        """The server, or the storage that it shares with this service, does not answer; why."""
        if isinstance(error, TesUnreachable):
            self.servers.failed(client)
        label = storage_label(client) if isinstance(error, ObjectStoreFailure) else tes_label(client)
        self.outages.begin(label, str(error))
        return str(error)

    async def _write(self, after: Task, cancels: Sequence[PendingCancel]) -> None:
        """As often as it takes: what a TES answered is not lost because the database is away."""
        wait = 0.1
        while True:
            try:
                await asyncio.to_thread(self.store.update, self.lease, after, cancels)
            except NOT_STORED as error:
                self.outages.begin(DATABASE, str(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_PAUSE)
            else:
                self.outages.end(DATABASE)
                return


def tes_label(client: TesClient) -> str:
    """A server, as an outage of it is told."""
    return f"the TES {client.url}"


def storage_label(client: TesClient) -> str:
    """Its storage, as an outage of that is told."""
    return f"the storage of the TES {client.url}"

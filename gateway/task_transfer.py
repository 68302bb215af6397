"""The files of a task on their way to its TES and back, for as long as anybody wants them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from common.errors import ObjectStoreFailure
from gateway.followed_task import FollowedTask
from gateway.live_log import add_streams, keep_streams
from gateway.outages import Outages
from gateway.task_record import storage_label
from gateway.tes_client import TesClient
from gateway.translation import TaskFiles, UnusableOutput
from tes.task import Task, TaskState, TesTask, View

STALLED_SECONDS = 60.0
"""After which a transfer that still goes on has moved something."""
Moved = TypeVar("Moved")


class CancelledMeanwhile(Exception):
    """The task is to be cancelled, so its files need not be moved."""


@dataclass(frozen=True, kw_only=True)
class TaskTransfer:
    """Of the tasks of one run; `files` tells how each TES gets them. Methods raise `ObjectStoreFailure`."""

    files: Callable[[TesClient], TaskFiles]
    outages: Outages

    async def for_tes(self, followed: FollowedTask, client: TesClient) -> TesTask:
        """The task as this TES is to be sent it, once it can read the inputs; `CancelledMeanwhile`, `UnusableInput`."""
        return await self._moved(followed, client, self.files(client).for_tes(followed.task))

    async def view(self, task: Task, client: TesClient, view: View) -> TesTask:
        """The task as the TES that has it shows it, in the words of the engine; raises what `TesClient.get` does."""
        return self.files(client).for_engine(task, await client.get(task.tes_id or "", view))

    def sentence_for_engine(self, task: Task, client: TesClient, sentence: str) -> str:
        """What the TES said, with the paths that the engine knows."""
        return self.files(client).sentence_for_engine(task, sentence)

    def keeps_submissions_apart(self, task: Task, client: TesClient) -> bool:
        """Whether a task that was sent there and is lost can't spoil what the next one makes."""
        return self.files(client).keeps_submissions_apart(task)

    async def kept(self, followed: FollowedTask, client: TesClient, after: Task) -> Task:
        """What is known of the task now, with what it has printed and, at its end, its outputs in the run's folder."""
        if not after.terminal:
            await asyncio.to_thread(add_streams, followed.live, after, followed.logs)
            return after
        # Nobody needs the outputs of a task that was cancelled too late.
        wanted = replace(after, state=TaskState.CANCELED) if followed.cancel_requested else after
        try:
            await self._moved(followed, client, self.files(client).fetch(wanted))
        except CancelledMeanwhile:
            after = replace(after, state=TaskState.CANCELED)
        except UnusableOutput as error:
            after = replace(after, state=TaskState.SYSTEM_ERROR, reason=str(error))
        await asyncio.to_thread(keep_streams, followed.live, after, followed.logs)
        return after

    async def _moved(self, followed: FollowedTask, client: TesClient, move: Coroutine[Any, Any, Moved]) -> Moved:
        """What `move` returns once all files are where they should be; `CancelledMeanwhile` where nobody wants it any
        more. A transfer that fails after a long time has got on so far, which is no fault of who is waited for."""
        began, moving = time.monotonic(), asyncio.ensure_future(move)
        was_wanted = not followed.cancel_requested
        try:
            while not moving.done():
                woken = asyncio.ensure_future(followed.woken.wait())
                await asyncio.wait({moving, woken}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                followed.woken.clear()
                if was_wanted and followed.cancel_requested and not moving.done():
                    followed.woken.set()
                    raise CancelledMeanwhile
            moved = moving.result()
        except ObjectStoreFailure:
            followed.answered += max(0.0, time.monotonic() - began - STALLED_SECONDS)
            raise
        finally:
            moving.cancel()
        self.outages.end(storage_label(client))
        return moved

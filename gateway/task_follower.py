"""One task on its way: handed to a TES, followed until it is terminal, its last view kept."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from common.errors import DiskFull, ObjectStoreFailure, StaleClaim, StoreUnavailable
from gateway.followed_task import FollowedTask, PollingPolicy
from gateway.live_log import add_streams, drop_streams, keep_streams
from gateway.outages import Outages
from gateway.routing import Unroutable
from gateway.task_documents import (
    FailureCause,
    earlier_logs,
    failure_cause,
    lost_logs,
    newest_logs,
    next_state,
    state_of,
    with_earlier,
    without_early_exit_codes,
)
from gateway.tes_client import TesClient, TesForgot, TesRefused, TesUnreachable, TesUnsure
from gateway.tes_servers import TesServers
from gateway.translation import TaskFiles, UnusableInput, UnusableOutput
from tes.task import TASK_TERMINAL, PendingCancel, Task, TaskState, TesTask, View
from wes_service.core.ports import Lease, TaskStore

log = structlog.get_logger(__name__)

LIVE_LOG_SECONDS = 0.7
"""Below the default of WES_POLL_SECONDS, so that every look at a task that has run for a while brings its log."""
ROOM_SECONDS = 1.0
"""Between two looks for a TES with room."""
DATABASE = "the database"
NOT_STORED = (StoreUnavailable, DiskFull)
STALLED_SECONDS = 60.0
"""After which a transfer that still goes on has moved something."""
Moved = TypeVar("Moved")


class CancelledMeanwhile(Exception):
    """The task is to be cancelled, so its files need not be moved."""


@dataclass(frozen=True, kw_only=True)
class TaskFollower:
    """Follows the tasks of one run; every change is in the store before anybody is told, or a TES is.

    Methods raise `StaleClaim` where the run is another worker's by now: then neither store nor TES are touched.
    """

    store: TaskStore
    lease: Lease
    servers: TesServers
    choice: str
    """Which TES the run asks for; empty for any."""
    polling: PollingPolicy
    files: Callable[[TesClient], TaskFiles]
    outages: Outages
    note: Callable[[str], None]
    count_state: Callable[[str | None, str], None]
    now: Callable[[], datetime]

    async def follow(self, followed: FollowedTask) -> None:
        """Hands the task over where that has not happened yet, then looks at it until it is terminal."""
        try:
            while not followed.task.terminal:
                if followed.client is None:
                    await self._submit(followed)
                else:
                    await self._poll(followed, followed.client)
        except StaleClaim:
            raise
        except Exception as error:
            log.exception("a task is lost", action="task_lost", run_id=followed.task.run_id, task_id=followed.task.id)
            await self.give_up(followed, f"the gateway failed on this task: {error}")

    async def _submit(self, followed: FollowedTask) -> None:
        followed.answered = time.monotonic()
        wait = 0.2
        while followed.may_have or not followed.cancel_requested:
            await self._record_cancel(followed)
            problem = await self._offer(followed)
            if followed.task.terminal or followed.client is not None:
                return
            wait = ROOM_SECONDS if followed.waits_for_room else wait
            if self._seconds_unanswered(followed) > self._patience(followed):
                await self.give_up(followed, f"no TES took the task for {self._patience(followed):g} s: {problem}")
                return
            await _wait(followed.woken, wait)
            wait = min(wait * 2, 10.0)
        await self._move(followed, replace(followed.task, state=TaskState.CANCELED))

    async def _offer(self, followed: FollowedTask) -> str:
        """Offers the task to each TES in turn; why none took it, where none did."""
        problem = await self._find(followed)
        if problem or followed.client is not None or followed.cancel_requested:
            return problem
        if not self.servers.clients:
            problem = "none is configured (wes.toml, WES_TES_URLS)"
            self.outages.begin("a TES", problem)
            return problem
        try:
            route = self.servers.route(followed.task.body, self.choice, followed.excluded)
        except Unroutable as error:
            reason = str(error)
            await self._move(followed, replace(followed.task, state=TaskState.SYSTEM_ERROR, reason=reason))
            return reason
        followed.waits_for_room = bool(route.full)
        if followed.waits_for_room:
            # That is no fault of any TES.
            followed.answered = time.monotonic()
        silent: list[str] = []
        for offer in route.offers:
            client = self.servers.client(offer.name)
            with self.servers.offering(client):
                problem = await self._offer_to(followed, client, offer.after(silent).reason)
            if followed.client is not None or followed.task.terminal or followed.may_have or followed.cancel_requested:
                return problem
            if client.name in followed.excluded:
                return await self._offer(followed)
            silent.append(client.name)
        return problem or route.full

    async def _offer_to(self, followed: FollowedTask, client: TesClient, route: str) -> str:
        """Why this TES did not take it, where it did not."""
        try:
            body = await self._moved(followed, client, self.files(client).for_tes(followed.task))
            tes_id = await client.create(body)
        except CancelledMeanwhile:
            return ""
        except UnusableInput as error:
            await self._move(followed, replace(followed.task, state=TaskState.SYSTEM_ERROR, reason=str(error)))
            return str(error)
        except TesUnsure as error:
            followed.may_have = [client]
            return self._no_answer(client, error)
        except (TesUnreachable, ObjectStoreFailure) as error:
            return self._no_answer(client, error)
        except TesRefused as error:
            self.servers.answered(client)
            said = self.files(client).sentence_for_engine(followed.task, str(error))
            followed.excluded[client.name] = f"the TES {client.name} refused the task: {said}"
            return followed.excluded[client.name]
        self.servers.accepted(client)
        await self._accepted(followed, client, tes_id, route)
        return ""

    async def _find(self, followed: FollowedTask) -> str:
        """Asks those that may have the task; why one of them can't tell, where that is so."""
        problem = ""
        for client in list(followed.may_have):
            try:
                tes_id = await client.find(followed.task.id, followed.task.submission)
            except TesUnreachable as error:
                problem = self._no_answer(client, error)
                continue
            except TesRefused:
                # A TES that lists no tasks can't be asked; then a task may be there twice, rather than never.
                tes_id = None
            followed.may_have.remove(client)
            if tes_id is not None:
                followed.may_have.clear()
                await self._accepted(followed, client, tes_id)
                return ""
        return problem

    async def _accepted(self, followed: FollowedTask, client: TesClient, tes_id: str, route: str = "") -> None:
        after = replace(followed.task, tes_url=client.url, tes_id=tes_id, route=route or None)
        await self._move(followed, after)
        followed.client = client
        followed.answered = time.monotonic()
        self.outages.end(_label(client))

    async def _poll(self, followed: FollowedTask, client: TesClient) -> None:
        began = refreshed_live = time.monotonic()
        while not followed.task.terminal and followed.client is client:
            await _wait(followed.woken, self.polling.interval(time.monotonic() - began))
            try:
                await self._record_cancel(followed)
                await self._send_cancel(followed, client)
                live = followed.task.state is TaskState.RUNNING and time.monotonic() - refreshed_live > LIVE_LOG_SECONDS
                if live:
                    refreshed_live = time.monotonic()
                await self._refresh(followed, client, live=live)
                await self._answered(followed, client)
            except TesForgot as error:
                await self._reported_missing(followed, client, error)
            except (TesUnreachable, ObjectStoreFailure) as error:
                followed.missing = None
                await self._unanswered(followed, client, error)

    async def _answered(self, followed: FollowedTask, client: TesClient) -> None:
        followed.answered, followed.missing = time.monotonic(), None
        self.servers.answered(client)
        self.outages.end(_label(client))
        closing, most = followed.closing, self.polling.patience + self.polling.closing
        if closing is not None and time.monotonic() - closing > most and not followed.task.terminal:
            reason = f"the TES {client.url} did not end it within {most:g} s after it was cancelled"
            await self.give_up(followed, reason)

    async def _unanswered(
        self, followed: FollowedTask, client: TesClient, error: TesUnreachable | TesForgot | ObjectStoreFailure
    ) -> None:
        problem, patience = self._no_answer(client, error), self._patience(followed)
        if self._seconds_unanswered(followed) <= patience:
            await _wait(followed.woken, min(5.0, self._seconds_unanswered(followed) / 2))
        elif isinstance(error, ObjectStoreFailure):
            await self.give_up(followed, f"what the task left could not be fetched for {patience:g} s: {problem}")
        else:
            await self._lost_with(followed, client, f"could not be asked for {patience:g} s", problem)

    async def _lost_with(self, followed: FollowedTask, client: TesClient, since: str, problem: str) -> None:
        """The TES is away for good, as far as its tasks are concerned: another one gets them where that is safe."""
        reason, elsewhere = f"the TES {client.url} {since}: {problem}", {client.name: f"{client.name} {since}"}
        if self._may_go_elsewhere(followed, client, elsewhere):
            followed.excluded |= elsewhere
            await self._send_again(followed, newest_logs(followed.task.document), TaskState.SYSTEM_ERROR, reason)
        else:
            await self.give_up(followed, reason)

    def _may_go_elsewhere(self, followed: FollowedTask, client: TesClient, elsewhere: Mapping[str, str]) -> bool:
        """Only where the task that is lost, which may go on, can't spoil what the next one makes."""
        task, sent_enough = followed.task, followed.task.submission >= self.polling.submissions
        if followed.cancel_requested or sent_enough or not self.files(client).keeps_submissions_apart(task):
            return False
        try:
            self.servers.route(task.body, self.choice, {**followed.excluded, **elsewhere})
        except Unroutable:
            return False
        return True

    async def _reported_missing(self, followed: FollowedTask, client: TesClient, error: TesForgot) -> None:
        """A TES that is being replaced, or what stands before it, may say so for a while: the list of its tasks
        decides, and only after a time."""
        if followed.missing is None:
            followed.missing = time.monotonic()
        due = time.monotonic() - followed.missing >= min(self.polling.forgotten, self.polling.patience)
        if not (due or followed.cancel_requested) or not await self._is_forgotten(followed, client):
            await self._unanswered(followed, client, error)
            return
        reason = f"the TES {client.url} no longer knows the task: {error}"
        if followed.cancel_requested:
            await self._move(followed, replace(followed.task, state=TaskState.CANCELED, reason=reason))
        else:
            await self._ended_by_tes(followed, client, {}, FailureCause.SERVICE, TaskState.SYSTEM_ERROR, reason)

    async def _is_forgotten(self, followed: FollowedTask, client: TesClient) -> bool:
        try:
            tes_id = await client.find(followed.task.id, followed.task.submission)
        except (TesUnreachable, TesRefused):
            return False
        if tes_id is not None and tes_id != followed.task.tes_id:
            await self._accepted(followed, client, tes_id)
        return tes_id is None

    async def _record_cancel(self, followed: FollowedTask) -> None:
        """Stores that the task is to be cancelled, before any TES is asked to."""
        if followed.cancel_requested and followed.task.state is not TaskState.CANCELING:
            await self._move(followed, replace(followed.task, state=TaskState.CANCELING))

    async def _send_cancel(self, followed: FollowedTask, client: TesClient) -> None:
        sent = followed.cancelled
        if not followed.cancel_requested or (sent is not None and time.monotonic() - sent < self.polling.cancel_again):
            return
        try:
            await client.cancel(followed.task.tes_id or "")
        except (TesForgot, TesRefused) as error:
            # It may have ended a moment ago; the look that follows tells.
            log.info("the TES refused to cancel", action="cancel", task_id=followed.task.id, problem=str(error))
        followed.cancelled = time.monotonic()

    async def _refresh(self, followed: FollowedTask, client: TesClient, *, live: bool) -> None:
        tes_id = followed.task.tes_id or ""
        document = await self._view(followed.task, client, tes_id, View.FULL if live else View.MINIMAL)
        state = next_state(followed.task.state, state_of(document))
        if not live and (state in TASK_TERMINAL or (state is TaskState.RUNNING and state != followed.task.state)):
            document = await self._view(followed.task, client, tes_id, View.FULL)
            live = True
        if state in {TaskState.SYSTEM_ERROR, TaskState.PREEMPTED} and not followed.cancel_requested:
            cause = failure_cause(followed.task, state, document)
            await self._ended_by_tes(followed, client, document, cause, state, "")
            return
        after = replace(followed.task, state=state)
        if live:
            after = await self._keep(followed, client, self._with_document(followed.task, document, state))
        if after != followed.task:
            await self._move(followed, after)

    async def _view(self, task: Task, client: TesClient, tes_id: str, view: View) -> TesTask:
        return self.files(client).for_engine(task, await client.get(tes_id, view))

    def _with_document(self, task: Task, document: TesTask, state: TaskState) -> Task:
        earlier = earlier_logs(task.document)
        return replace(task, state=state, document=with_earlier(earlier, without_early_exit_codes(document)))

    async def _keep(self, followed: FollowedTask, client: TesClient, after: Task) -> Task:
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
        self.outages.end(_storage_label(client))
        return moved

    async def _ended_by_tes(
        self,
        followed: FollowedTask,
        client: TesClient,
        document: TesTask,
        cause: FailureCause,
        state: TaskState,
        reason: str,
    ) -> None:
        """The TES ended the task, or has it no more: it is sent again where that may help."""
        if cause is not FailureCause.TASK and followed.task.submission < self.polling.submissions:
            await self._send_again(followed, document, state, reason)
            return
        if cause is FailureCause.SERVICE:
            cause_text = reason or f"the TES ended it in {state.value}"
            times = f" (sent {followed.task.submission} times)" if followed.task.submission > 1 else ""
            followed.failure = f"the task {followed.task.name!r} was lost: {cause_text}{times}"
        after = replace(self._with_document(followed.task, document, state), reason=reason or followed.task.reason)
        after = await self._keep(followed, client, after)
        await self._move(followed, after, self._cancels(followed) if reason else ())

    async def _send_again(self, followed: FollowedTask, document: TesTask, state: TaskState, reason: str) -> None:
        number, task = followed.task.submission, followed.task
        cause = reason or f"it ended in {state.value} on the TES {task.tes_url}"
        logs = lost_logs(without_early_exit_codes(document), number, f"{cause}; task {task.tes_id}: sent again")
        document = with_earlier([*earlier_logs(task.document), *logs], {})
        after = replace(task, state=TaskState.QUEUED, tes_url=None, tes_id=None, document=document)
        # What a TES forgot it may remember, where another one answers for it meanwhile.
        await self._move(followed, after, self._cancels(followed) if reason else ())
        self.note(f"The task {task.name!r} ({task.id}) is sent again, as {cause}.")
        followed.client, followed.missing = None, None
        await asyncio.to_thread(drop_streams, followed.live)
        await _wait(followed.woken, self.polling.resend * 10 ** (number - 1))

    async def give_up(self, followed: FollowedTask, reason: str) -> None:
        """Ends a task that may still be on a TES, where it is cancelled as soon as that can be asked."""
        cancels = self._cancels(followed)
        if followed.cancel_requested:
            reason = f"it was to be cancelled, but {reason}"
        else:
            was_lost = followed.task.tes_id is not None
            followed.failure = f"the task {followed.task.name!r} was lost: {reason}" if was_lost else reason
        if cancels:
            reason = f"{reason}; it is cancelled there as soon as that can be asked"
        followed.unconfirmed = bool(cancels)
        await self._move(followed, replace(followed.task, state=TaskState.SYSTEM_ERROR, reason=reason), cancels)

    def _cancels(self, followed: FollowedTask) -> list[PendingCancel]:
        """For each TES that may have the task."""
        task = followed.task
        ids = {task.tes_url: task.tes_id} if task.tes_url else {client.url: None for client in followed.may_have}
        return [
            PendingCancel(
                run_id=task.run_id,
                task_id=task.id,
                submission=followed.task.submission,
                tes_url=url,
                tes_id=tes_id,
                since=self.now(),
            )
            for url, tes_id in ids.items()
        ]

    def _no_answer(self, client: TesClient, error: Exception) -> str:
        if isinstance(error, TesUnreachable):
            self.servers.failed(client)
        label = _storage_label(client) if isinstance(error, ObjectStoreFailure) else _label(client)
        self.outages.begin(label, str(error))
        return str(error)

    def _seconds_unanswered(self, followed: FollowedTask) -> float:
        return time.monotonic() - max(followed.answered, followed.closing or 0.0)

    def _patience(self, followed: FollowedTask) -> float:
        return self.polling.patience if followed.closing is None else min(self.polling.patience, self.polling.closing)

    async def _move(self, followed: FollowedTask, after: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        await self._write(after, cancels)
        if after.state is not followed.task.state:
            log.info("task", action="task_state", run_id=after.run_id, task_id=after.id, state=after.state.value)
            self.count_state(after.tes_url, after.state.value)
        followed.task = after
        async with followed.changed:
            followed.changed.notify_all()

    async def _write(self, after: Task, cancels: Sequence[PendingCancel]) -> None:
        """As often as it takes: what a TES answered is not lost because the database is away."""
        wait = 0.1
        while True:
            try:
                await asyncio.to_thread(self.store.update, self.lease, after, cancels)
            except NOT_STORED as error:
                self.outages.begin(DATABASE, str(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, self.polling.store)
            else:
                self.outages.end(DATABASE)
                return


def _label(client: TesClient) -> str:
    return f"the TES {client.url}"


def _storage_label(client: TesClient) -> str:
    return f"the storage of the TES {client.url}"


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
        woken.clear()
    except TimeoutError:
        return

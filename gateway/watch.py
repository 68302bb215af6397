"""One task on its way: handed to a TES, followed until it is terminal, its last view kept."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog

from common.errors import DiskFull, StaleClaim, StoreUnavailable
from common.json_types import JsonObject
from gateway import documents, loss
from gateway.live_log import LiveLog, write_new
from gateway.loss import Outages
from gateway.tes_client import TesClient, TesForgot, TesRefused, TesUnreachable, TesUnsure
from tes.task import TASK_TERMINAL, PendingCancel, Task, TaskState, submissions
from wes_service.core.links import LIVE_SUFFIX, STREAMS, log_file
from wes_service.core.ports import Lease, TaskStore

log = structlog.get_logger(__name__)

FIRST_POLL = 0.03
LIVE_LOG_SECONDS = 0.7
"""Below the default of WES_POLL_SECONDS, so that every look at a task that has run for a while brings its log."""
DATABASE = "the database"
AWAY = (StoreUnavailable, DiskFull)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a TES is asked and for how long it may give no answer, all in seconds."""

    longest: float
    patience: float
    forgotten: float = 180.0
    """For how long a TES must say that it has no such task."""
    closing: float = 30.0
    """For how long a TES may give no answer once the run is ending; what it has then is cancelled later."""
    cancel_again: float = 15.0
    store: float = 5.0
    """Longest time between two tries to write to the database."""
    resend: float = 1.0
    """Before a task is sent again for the first time; ten times as long each time after it."""
    submissions: int = 3
    """How often one task may be sent."""

    def interval(self, age: float) -> float:
        """Seconds to the next look at a task that was handed over `age` seconds ago: often at first, then calm."""
        return min(self.longest, max(FIRST_POLL, age / 10))


@dataclass(kw_only=True)
class Watched:
    """A task in memory: `task` is replaced by newer values, `changed` tells whoever waits for it.

    Times are on the monotonic clock.
    """

    task: Task
    logs: Path
    client: TesClient | None = None
    unsure: list[TesClient] = field(default_factory=list)
    """Each TES that may have the task, as its answer was lost: they are asked before anybody is offered it again."""
    wanted_gone: bool = False
    closing: float | None = None
    """Since when the run is ending."""
    answered: float = field(default_factory=time.monotonic)
    """When the TES last told of the task."""
    missing: float | None = None
    """Since when the TES says that it has no such task."""
    cancelled: float | None = None
    """When the TES was last told to cancel it."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    live: dict[str, LiveLog] = field(default_factory=dict)
    failure: str | None = None
    """Why the service, not the workflow, lost this task."""
    unseen: bool = False
    """Whether it was given up without being seen to end."""

    @property
    def submission(self) -> int:
        """Which TES task of this task is its present one, from 1."""
        return submissions(self.task.document) + 1

    async def wait_for_change(self, seen: TaskState, seconds: float) -> None:
        """Returns when the state is not `seen` any more, or after `seconds`."""
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(lambda: self.task.state is not seen), seconds)
            except TimeoutError:
                return


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Follows the tasks of one run; every change is in the store before anybody is told, or a TES is.

    Methods raise `StaleClaim` where the run is another worker's by now: then neither store nor TES are touched.
    """

    store: TaskStore
    lease: Lease
    choose: Callable[[], Sequence[TesClient]]
    pace: Pace
    outages: Outages
    note: Callable[[str], None]
    own: Callable[[JsonObject], None]
    moved: Callable[[str | None, str], None]
    now: Callable[[], datetime]

    async def follow(self, watched: Watched) -> None:
        """Hands the task over where that has not happened yet, then looks at it until it is terminal."""
        try:
            while not watched.task.terminal:
                if watched.client is None:
                    await self._hand_over(watched)
                else:
                    await self._poll(watched, watched.client)
        except StaleClaim:
            raise
        except Exception as error:
            log.exception("a task is lost", action="task_lost", run_id=watched.task.run_id, task_id=watched.task.id)
            await self._give_up(watched, f"the gateway failed on this task: {error}")

    async def end_unasked(self, watched: Watched, reason: str) -> None:
        """Ends a task that no TES can be asked about."""
        await self._give_up(watched, reason)

    async def _hand_over(self, watched: Watched) -> None:
        watched.answered = time.monotonic()
        wait = 0.2
        while watched.unsure or not watched.wanted_gone:
            await self._want_gone(watched)
            problem = await self._offer(watched)
            if watched.task.terminal or watched.client is not None:
                return
            if self._silent_seconds(watched) > self._patience(watched):
                await self._give_up(watched, f"no TES took the task for {self._patience(watched):g} s: {problem}")
                return
            await _wait(watched.poke, wait)
            wait = min(wait * 2, 10.0)
        await self._settle(watched, replace(watched.task, state=TaskState.CANCELED))

    async def _offer(self, watched: Watched) -> str:
        """Offers the task to each TES in turn; why none took it, where none did."""
        problem = await self._look_for(watched)
        if problem or watched.client is not None or watched.wanted_gone:
            return problem
        clients = self.choose()
        if not clients:
            problem = "none is configured (WES_TES_URLS)"
            self.outages.begin("a TES", problem)
        for client in clients:
            try:
                tes_id = await client.create(loss.as_submitted(watched.task.body, watched.submission))
            except TesUnsure as error:
                watched.unsure = [client]
                return self._no_answer(client, error)
            except TesUnreachable as error:
                problem = self._no_answer(client, error)
                continue
            except TesRefused as error:
                reason = f"the TES {client.url} refused the task: {error}"
                await self._settle(watched, replace(watched.task, state=TaskState.SYSTEM_ERROR, reason=reason))
                return reason
            await self._taken(watched, client, tes_id)
            return ""
        return problem

    async def _look_for(self, watched: Watched) -> str:
        """Asks those that may have the task; why one of them can't tell, where that is so."""
        problem = ""
        for client in list(watched.unsure):
            try:
                tes_id = await client.find(watched.task.id, watched.submission)
            except TesUnreachable as error:
                problem = self._no_answer(client, error)
                continue
            except TesRefused:
                # A TES that lists no tasks can't be asked; then a task may be there twice, rather than never.
                tes_id = None
            watched.unsure.remove(client)
            if tes_id is not None:
                watched.unsure.clear()
                await self._taken(watched, client, tes_id)
                return ""
        return problem

    async def _taken(self, watched: Watched, client: TesClient, tes_id: str) -> None:
        await self._settle(watched, replace(watched.task, tes_url=client.url, tes_id=tes_id))
        watched.client = client
        watched.answered = time.monotonic()
        self.outages.end(_named(client))

    async def _poll(self, watched: Watched, client: TesClient) -> None:
        began = looked_live = time.monotonic()
        while not watched.task.terminal and watched.client is client:
            await _wait(watched.poke, self.pace.interval(time.monotonic() - began))
            try:
                await self._want_gone(watched)
                await self._tell_cancel(watched, client)
                live = watched.task.state is TaskState.RUNNING and time.monotonic() - looked_live > LIVE_LOG_SECONDS
                if live:
                    looked_live = time.monotonic()
                await self._look(watched, client, live=live)
                await self._heard(watched, client)
            except TesForgot as error:
                await self._told_missing(watched, client, error)
            except TesUnreachable as error:
                watched.missing = None
                await self._not_heard(watched, client, error)

    async def _heard(self, watched: Watched, client: TesClient) -> None:
        watched.answered, watched.missing = time.monotonic(), None
        self.outages.end(_named(client))
        closing, most = watched.closing, self.pace.patience + self.pace.closing
        if closing is not None and time.monotonic() - closing > most and not watched.task.terminal:
            reason = f"the TES {client.url} did not end it within {most:g} s after it was cancelled"
            await self._give_up(watched, reason)

    async def _not_heard(self, watched: Watched, client: TesClient, error: TesUnreachable | TesForgot) -> None:
        problem = self._no_answer(client, error)
        if self._silent_seconds(watched) > self._patience(watched):
            seconds = self._patience(watched)
            await self._give_up(watched, f"the TES {client.url} could not be asked for {seconds:g} s: {problem}")
        else:
            await _wait(watched.poke, min(5.0, self._silent_seconds(watched) / 2))

    async def _told_missing(self, watched: Watched, client: TesClient, error: TesForgot) -> None:
        """A TES that is being replaced, or what stands before it, may say so for a while: the list of its tasks
        decides, and only after a time."""
        if watched.missing is None:
            watched.missing = time.monotonic()
        due = time.monotonic() - watched.missing >= min(self.pace.forgotten, self.pace.patience)
        if not (due or watched.wanted_gone) or not await self._is_forgotten(watched, client):
            await self._not_heard(watched, client, error)
            return
        reason = f"the TES {client.url} no longer knows the task: {error}"
        if watched.wanted_gone:
            await self._settle(watched, replace(watched.task, state=TaskState.CANCELED, reason=reason))
        else:
            await self._lost(watched, {}, loss.Blame.SERVICE, TaskState.SYSTEM_ERROR, reason)

    async def _is_forgotten(self, watched: Watched, client: TesClient) -> bool:
        try:
            tes_id = await client.find(watched.task.id, watched.submission)
        except (TesUnreachable, TesRefused):
            return False
        if tes_id is not None and tes_id != watched.task.tes_id:
            await self._taken(watched, client, tes_id)
        return tes_id is None

    async def _want_gone(self, watched: Watched) -> None:
        """Keeps the wish for a cancel, before any TES is told of it, where it is not kept yet."""
        if watched.wanted_gone and watched.task.state is not TaskState.CANCELING:
            await self._settle(watched, replace(watched.task, state=TaskState.CANCELING))

    async def _tell_cancel(self, watched: Watched, client: TesClient) -> None:
        told = watched.cancelled
        if not watched.wanted_gone or (told is not None and time.monotonic() - told < self.pace.cancel_again):
            return
        try:
            await client.cancel(watched.task.tes_id or "")
        except (TesForgot, TesRefused) as error:
            # It may have ended a moment ago; the look that follows tells.
            log.info("the TES refused to cancel", action="cancel", task_id=watched.task.id, problem=str(error))
        watched.cancelled = time.monotonic()

    async def _look(self, watched: Watched, client: TesClient, *, live: bool) -> None:
        tes_id = watched.task.tes_id or ""
        document = await client.get(tes_id, "FULL" if live else "MINIMAL")
        state = documents.forward(watched.task.state, documents.state_of(document))
        if not live and (state in TASK_TERMINAL or (state is TaskState.RUNNING and state != watched.task.state)):
            document = await client.get(tes_id, "FULL")
            live = True
        if state in {TaskState.SYSTEM_ERROR, TaskState.PREEMPTED} and not watched.wanted_gone:
            await self._lost(watched, document, loss.blame(watched.task, state, document), state, "")
            return
        after = replace(watched.task, state=state)
        if live:
            after = self._shown(watched.task, document, state)
            await self._keep(watched, after)
        if after != watched.task:
            await self._settle(watched, after)

    def _shown(self, task: Task, document: JsonObject, state: TaskState) -> Task:
        earlier = loss.earlier_logs(task.document)
        return replace(task, state=state, document=loss.with_earlier(earlier, documents.cleaned(document)))

    async def _keep(self, watched: Watched, after: Task) -> None:
        if after.terminal:
            await asyncio.to_thread(_keep_streams, watched, after)
            await asyncio.to_thread(self.own, after.body)
        else:
            await asyncio.to_thread(_show_streams, watched, after)

    async def _lost(
        self, watched: Watched, document: JsonObject, blame: loss.Blame, state: TaskState, reason: str
    ) -> None:
        """The TES ended the task, or has it no more: it is sent again where that may help."""
        if blame is not loss.Blame.TASK and watched.submission < self.pace.submissions:
            await self._send_again(watched, document, state, reason)
            return
        if blame is loss.Blame.SERVICE:
            told = reason or f"the TES ended it in {state.value}"
            times = f" (sent {watched.submission} times)" if watched.submission > 1 else ""
            watched.failure = f"the task {watched.task.name!r} was lost: {told}{times}"
        after = replace(self._shown(watched.task, document, state), reason=reason or watched.task.reason)
        await self._keep(watched, after)
        await self._settle(watched, after, self._cancels(watched) if reason else ())

    async def _send_again(self, watched: Watched, document: JsonObject, state: TaskState, reason: str) -> None:
        number, task = watched.submission, watched.task
        told = reason or f"it ended in {state.value} on the TES {task.tes_url}"
        logs = loss.lost_logs(documents.cleaned(document), number, f"{told}; task {task.tes_id}: sent again")
        document = loss.with_earlier([*loss.earlier_logs(task.document), *logs], {})
        after = replace(task, state=TaskState.QUEUED, tes_url=None, tes_id=None, document=document)
        # What a TES forgot it may remember, where another one answers for it meanwhile.
        await self._settle(watched, after, self._cancels(watched) if reason else ())
        self.note(f"The task {task.name!r} ({task.id}) is sent again, as {told}.")
        watched.client, watched.missing = None, None
        await asyncio.to_thread(_drop_live, watched)
        await _wait(watched.poke, self.pace.resend * 10 ** (number - 1))

    async def _give_up(self, watched: Watched, reason: str) -> None:
        """Ends a task that may still be on a TES, where it is cancelled as soon as that can be asked."""
        cancels = self._cancels(watched)
        if watched.wanted_gone:
            reason = f"it was to be cancelled, but {reason}"
        else:
            watched.failure = reason
        if cancels:
            reason = f"{reason}; it is cancelled there as soon as that can be asked"
        watched.unseen = bool(cancels)
        await self._settle(watched, replace(watched.task, state=TaskState.SYSTEM_ERROR, reason=reason), cancels)

    def _cancels(self, watched: Watched) -> list[PendingCancel]:
        """For each TES that may have the task."""
        task = watched.task
        places = {task.tes_url: task.tes_id} if task.tes_url else {client.url: None for client in watched.unsure}
        return [
            PendingCancel(
                run_id=task.run_id,
                task_id=task.id,
                submission=watched.submission,
                tes_url=url,
                tes_id=tes_id,
                since=self.now(),
            )
            for url, tes_id in places.items()
        ]

    def _no_answer(self, client: TesClient, error: Exception) -> str:
        self.outages.begin(_named(client), str(error))
        return str(error)

    def _silent_seconds(self, watched: Watched) -> float:
        return time.monotonic() - max(watched.answered, watched.closing or 0.0)

    def _patience(self, watched: Watched) -> float:
        return self.pace.patience if watched.closing is None else min(self.pace.patience, self.pace.closing)

    async def _settle(self, watched: Watched, after: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        await self._write(after, cancels)
        if after.state is not watched.task.state:
            log.info("task", action="task_state", run_id=after.run_id, task_id=after.id, state=after.state.value)
            self.moved(after.tes_url, after.state.value)
        watched.task = after
        async with watched.changed:
            watched.changed.notify_all()

    async def _write(self, after: Task, cancels: Sequence[PendingCancel]) -> None:
        """As often as it takes: what a TES told is not lost because the database is away."""
        wait = 0.1
        while True:
            try:
                await asyncio.to_thread(self.store.update, self.lease, after, cancels)
            except AWAY as error:
                self.outages.begin(DATABASE, str(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, self.pace.store)
            else:
                self.outages.end(DATABASE)
                return


def _named(client: TesClient) -> str:
    return f"the TES {client.url}"


def _drop_live(watched: Watched) -> None:
    for live in watched.live.values():
        live.path.unlink(missing_ok=True)
    watched.live.clear()


def _keep_streams(watched: Watched, task: Task) -> None:
    """Writes what the TES kept of stdout and stderr, where it has not written the whole file itself."""
    for name, text in _told(task):
        live = watched.live.get(name)
        if live is not None and live.size > len(text) and not os.path.lexists(watched.logs / name):
            live.path.rename(watched.logs / name)
        else:
            write_new(watched.logs / name, text)
    for live in watched.live.values():
        live.path.unlink(missing_ok=True)


def _show_streams(watched: Watched, task: Task) -> None:
    """Adds what is new to the files that are read while the task runs."""
    for name, text in _told(task):
        if name not in watched.live:
            watched.live[name] = LiveLog(path=watched.logs / f"{name}{LIVE_SUFFIX}")
            watched.live[name].path.unlink(missing_ok=True)
        watched.live[name].add(text)


def _told(task: Task) -> list[tuple[str, str]]:
    """Each log by the name of its file, as far as the TES shows it."""
    entries = [*enumerate(documents.executor_logs(task.document))]
    if not task.terminal:
        entries.append(documents.running_output(task.document))
    told = [(log_file(stream, index), entry.get(stream)) for index, entry in entries for stream in STREAMS]
    return [(name, text) for name, text in told if isinstance(text, str) and text]


async def _wait(poke: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(poke.wait(), seconds)
        poke.clear()
    except TimeoutError:
        return

"""One task on its way: handed to a TES, followed until it is terminal, its last view kept."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from wes_service.core.json_types import JsonObject
from wes_service.core.links import STREAMS
from wes_service.core.log_files import LIVE, log_file
from wes_service.core.ports import TaskStore
from wes_service.core.task import TAG_TASK, TASK_TERMINAL, Task, TaskState
from workers.gateway import documents
from workers.gateway.live_log import LiveLog, write_new
from workers.gateway.tes_client import TesClient, TesRefused, TesUnreachable, TesUnsure

log = structlog.get_logger(__name__)

FIRST_POLL = 0.03
LIVE_LOG_SECONDS = 0.7
"""Below the default of WES_POLL_SECONDS, so that every look at a task that has run for a while brings its log."""
FORGOTTEN_AFTER = 5
LOCAL_SYSTEM_ERROR = {401, 403}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a TES is asked (s) and how long it may be unreachable (s)."""

    longest: float
    patience: float

    def interval(self, age: float) -> float:
        """Seconds to the next look at a task that was handed over `age` seconds ago: often at first, then calm."""
        return min(self.longest, max(FIRST_POLL, age / 10))


@dataclass(kw_only=True)
class Watched:
    """A task in memory: `task` is replaced by newer values, `changed` tells whoever waits for it."""

    task: Task
    logs: Path
    client: TesClient | None = None
    unsure: list[TesClient] = field(default_factory=list)
    """Each TES that may have the task, as its answer was lost: they are asked before anybody is offered it again."""
    wanted_gone: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    live: dict[str, LiveLog] = field(default_factory=dict)
    failure: str | None = None
    """Why the service, not the workflow, lost this task."""

    async def wait_for_change(self, seen: TaskState, seconds: float) -> None:
        """Returns when the state is not `seen` any more, or after `seconds`."""
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(lambda: self.task.state is not seen), seconds)
            except TimeoutError:
                return


class Watcher:
    """Follows tasks; every change is in the store before anybody is told."""

    def __init__(
        self,
        store: TaskStore,
        choose: Callable[[], Awaitable[Sequence[TesClient]]],
        pace: Pace,
        tell: Callable[[str, str], Awaitable[None]],
        own: Callable[[JsonObject], None],
        moved: Callable[[str | None, str], None],
    ) -> None:
        self._store = store
        self._choose = choose
        self._pace = pace
        self._tell = tell
        self._own = own
        self._moved = moved

    async def follow(self, watched: Watched) -> None:
        """Hands the task over where that has not happened yet, then looks at it until it is terminal."""
        try:
            if watched.client is None:
                await self._hand_over(watched)
            if watched.client is not None:
                await self._poll(watched, watched.client)
        except Exception as error:
            log.exception("a task is lost", action="task_lost", run_id=watched.task.run_id, task_id=watched.task.id)
            await self._lose(watched, f"the gateway failed on this task: {error}")

    async def _hand_over(self, watched: Watched) -> None:
        began = time.monotonic()
        wait = 0.2
        while watched.unsure or not watched.wanted_gone:
            problem = await self._offer(watched)
            if watched.task.terminal or watched.client is not None:
                return
            if time.monotonic() - began > self._pace.patience:
                await self._lose(watched, f"no TES took the task for {self._pace.patience:g} s: {problem}")
                return
            await self._tell(watched.task.run_id, f"waiting for a TES: {problem}")
            await _wait(watched.poke, wait)
            wait = min(wait * 2, 10.0)
        await self._settle(watched, replace(watched.task, state=TaskState.CANCELED))

    async def _offer(self, watched: Watched) -> str:
        """Offers the task to each TES in turn; why none took it, where none did."""
        problem = await self._look_for(watched)
        if problem or watched.client is not None or watched.wanted_gone:
            return problem
        problem = "no TES is configured (WES_TES_URLS)"
        for client in await self._choose():
            try:
                tes_id = await client.create(watched.task.body)
            except TesUnsure as error:
                watched.unsure = [client]
                return str(error)
            except TesUnreachable as error:
                problem = str(error)
                continue
            except TesRefused as error:
                await self._refused(watched, client, error)
                return problem
            await self._taken(watched, client, tes_id)
            return ""
        return problem

    async def _look_for(self, watched: Watched) -> str:
        """Asks those that may have the task; why one of them can't tell, where that is so."""
        problem = ""
        for client in list(watched.unsure):
            try:
                tes_id = await client.find(TAG_TASK, watched.task.id)
            except TesUnreachable as error:
                problem = str(error)
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

    async def _refused(self, watched: Watched, client: TesClient, error: TesRefused) -> None:
        reason = f"the TES {client.url} refused the task: {error}"
        if error.status in LOCAL_SYSTEM_ERROR:
            watched.failure = reason
        await self._settle(watched, replace(watched.task, state=TaskState.SYSTEM_ERROR, reason=reason))

    async def _lose(self, watched: Watched, reason: str) -> None:
        watched.failure = reason
        await self._settle(watched, replace(watched.task, state=TaskState.SYSTEM_ERROR, reason=reason))

    async def _poll(self, watched: Watched, client: TesClient) -> None:
        began = answered = looked_live = time.monotonic()
        unknown = 0
        while not watched.task.terminal:
            await _wait(watched.poke, self._pace.interval(time.monotonic() - began))
            try:
                if watched.wanted_gone and watched.task.state is not TaskState.CANCELING:
                    await self._cancel(watched, client)
                live = watched.task.state is TaskState.RUNNING and time.monotonic() - looked_live > LIVE_LOG_SECONDS
                if live:
                    looked_live = time.monotonic()
                await self._look(watched, client, live=live)
                answered, unknown = time.monotonic(), 0
            except TesUnreachable as error:
                if time.monotonic() - answered > self._pace.patience:
                    await self._lose(watched, f"the TES could not be asked for {self._pace.patience:g} s: {error}")
                await asyncio.sleep(min(5.0, (time.monotonic() - answered) / 2))
            except TesRefused as error:
                unknown += 1
                if unknown >= FORGOTTEN_AFTER:
                    await self._lose(watched, f"the TES {client.url} no longer knows the task: {error}")

    async def _cancel(self, watched: Watched, client: TesClient) -> None:
        tes_id = watched.task.tes_id or ""
        try:
            await client.cancel(tes_id)
        except TesRefused as error:
            # It may have ended a moment ago; the look that follows tells.
            log.info("the TES refused to cancel", action="cancel", task_id=watched.task.id, problem=str(error))
        await self._settle(watched, replace(watched.task, state=TaskState.CANCELING))

    async def _look(self, watched: Watched, client: TesClient, *, live: bool) -> None:
        tes_id = watched.task.tes_id or ""
        document = await client.get(tes_id, "FULL" if live else "MINIMAL")
        told = documents.state_of(document)
        state = documents.forward(watched.task.state, told)
        if not live and (state in TASK_TERMINAL or (state is TaskState.RUNNING and state != watched.task.state)):
            document = await client.get(tes_id, "FULL")
            live = True
        after = replace(watched.task, state=state)
        if live:
            after = replace(after, document=documents.cleaned(document))
            if after.terminal:
                await asyncio.to_thread(_keep_streams, watched, after)
                await asyncio.to_thread(self._own, after.body)
            else:
                await asyncio.to_thread(_show_streams, watched, after)
        if after != watched.task:
            await self._settle(watched, after)

    async def _settle(self, watched: Watched, after: Task) -> None:
        await asyncio.to_thread(self._store.update, after)
        if after.state is not watched.task.state:
            log.info("task", action="task_state", run_id=after.run_id, task_id=after.id, state=after.state.value)
            self._moved(after.tes_url, after.state.value)
        watched.task = after
        async with watched.changed:
            watched.changed.notify_all()


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
            watched.live[name] = LiveLog(path=watched.logs / f"{name}{LIVE}")
            watched.live[name].path.unlink(missing_ok=True)
        watched.live[name].add(text)


def _told(task: Task) -> list[tuple[str, str]]:
    """Each log by the name of its file, as far as the TES shows it."""
    entries = enumerate(documents.executor_logs(task.document))
    told = [(log_file(stream, index), entry.get(stream)) for index, entry in entries for stream in STREAMS]
    return [(name, text) for name, text in told if isinstance(text, str) and text]


async def _wait(poke: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(poke.wait(), seconds)
        poke.clear()
    except TimeoutError:
        return

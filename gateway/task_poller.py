"""What one TES is asked about all tasks that a worker has there: few questions, however many tasks there are.

A task that has just come, or just begun to run, is asked for often, as far as there are few of them. All others are
asked for in rounds: a list of those in each state, by the tag that they have in common, confirms what has not changed;
whatever a list does not show in the state that it was in is asked for singly, and only that tells of a change. So a TES
whose lists leave tasks out, or show others, or none, costs time and nothing else.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from gateway.followed_task import FollowedTask, PollingPolicy
from gateway.task_documents import next_state, state_of
from gateway.task_lists import TaskLists
from gateway.tes_client import TesClient, TesForgot, TesUnreachable
from gateway.tes_servers import TesServers
from tes.task import TAG_GATEWAY, TaskState, View

log = structlog.get_logger(__name__)

EARLY_SECONDS = 5.0
"""For how long a task counts as one that has just come, or begun to run."""
MOST_EARLY = 12
"""Tasks that are asked for often, at once."""
MANY = 50
"""Where more tasks than these are watched, none is asked for often: rounds come soon enough, and cost less."""
LIVE_LOG_SECONDS = 0.9
"""Between two looks at the log of a running task."""
MOST_LIVE = 8
"""Running tasks that are looked at so often; of more, each has its turn."""
MOST_SINGLY = 100
"""Tasks that are asked for singly in one round; those that were not asked for the longest come first."""
AT_ONCE = 8
ROUND_SECONDS = 20.0
"""After which a round begins no more questions."""
LISTED_FROM = 4
"""Fewer tasks than these are asked for singly."""
SILENT_AFTER = 3
"""So many single questions without an answer, and the server is taken to give none to any."""


@dataclass(kw_only=True)
class _Watch:
    """A task, when it last changed, and when it was last asked for singly."""

    followed: FollowedTask
    changed: float = field(default_factory=time.monotonic)
    asked: float = 0.0
    early: asyncio.Task[None] | None = None


class TaskPoller:
    """The one of a TES; used in the gateway's loop only. `run` it as long as tasks are watched."""

    def __init__(self, client: TesClient, servers: TesServers, polling: PollingPolicy, lists: TaskLists) -> None:
        self._client = client
        self._servers = servers
        self._polling = polling
        self._lists = lists
        self._watched: dict[int, _Watch] = {}
        self._early = 0
        self._running: set[int] = set()
        self._changed = time.monotonic()
        self._silent_since: float | None = None
        self._woken = asyncio.Event()

    @contextmanager
    def watching(self, followed: FollowedTask) -> Iterator[None]:
        """While the block runs, `followed.reported` is set, and the task woken, whenever the TES tells something new:
        another state, or after a failure any; `TesForgot` or `TesUnreachable` where a question was not answered."""
        followed.reported = None
        watch = self._watched[id(followed)] = _Watch(followed=followed)
        self._note_change(watch)
        try:
            yield
        finally:
            del self._watched[id(followed)]
            self._running.discard(id(followed))
            if watch.early is not None:
                watch.early.cancel()

    def look_often(self, followed: FollowedTask) -> None:
        """Asks for a task that is watched often for a while, as it may end soon."""
        self._note_change(self._watched[id(followed)])

    def seconds_to_live_log(self, followed: FollowedTask) -> float | None:
        """After which the log of a running task is to be looked at again; None for one that does not run."""
        if followed.task.state is not TaskState.RUNNING:
            self._running.discard(id(followed))
            return None
        self._running.add(id(followed))
        return LIVE_LOG_SECONDS * max(1.0, len(self._running) / MOST_LIVE)

    async def run(self) -> None:
        """Until it is cancelled."""
        took = worked = 0.0
        while True:
            await self._wait(took, worked)
            began, used = time.monotonic(), time.thread_time()
            try:
                await self.look()
            except Exception:
                log.exception("a round of questions failed", action="poll", tes=self._client.name)
            took, worked = time.monotonic() - began, time.thread_time() - used

    async def look(self) -> None:
        """One round: lists where they save questions, then single questions for what they did not confirm."""
        asked = [one for one in self._watched.values() if one.followed.reported is None and one.early is None]
        confirmed = await self._confirmed(asked)
        for one in confirmed:
            self._told(one, one.followed.task.state)
        known = {one.followed.task.id for one in confirmed}
        rest = [one for one in asked if one.followed.task.id not in known]
        if rest and (problem := await self._ask_each(sorted(rest, key=_asked)[:MOST_SINGLY])):
            for one in rest:
                self._report(one, problem)
        if confirmed:
            await self._check(min(confirmed, key=_asked))

    async def _confirmed(self, asked: Sequence[_Watch]) -> Sequence[_Watch]:
        """Those that the TES lists in the state that they were in."""
        known: set[str] = set()
        for tag, group in _by_tag(asked).items():
            if tag and len(group) >= LISTED_FROM:
                known |= await self._lists.confirmed(tag, group)
        return [one for one in asked if one.followed.task.id in known]

    async def _check(self, confirmed: _Watch) -> None:
        """Asks for one task that was just confirmed, as what stands before a TES may keep a list for too long."""
        await self._ask(confirmed)
        self._lists.contradicted(was=isinstance(confirmed.followed.reported, TaskState))

    async def _ask_each(self, watches: Sequence[_Watch]) -> TesUnreachable | None:
        """Why the server answers nothing at all, where that is so; then most of them were not asked for."""
        room, until = asyncio.Semaphore(AT_ONCE), time.monotonic() + ROUND_SECONDS
        problems: list[TesUnreachable | None] = []

        async def ask(one: _Watch) -> None:
            async with room:
                if time.monotonic() < until and (len(problems) < SILENT_AFTER or not all(problems)):
                    problems.append(await self._ask(one))

        await asyncio.gather(*(ask(one) for one in watches))
        return problems[0] if all(problems) and len(problems) >= SILENT_AFTER else None

    async def _ask(self, watch: _Watch) -> TesUnreachable | None:
        """Asks for one task; why there was no answer."""
        watch.asked = time.monotonic()
        try:
            document = await self._client.get(watch.followed.task.tes_id or "", View.MINIMAL)
        except TesForgot as error:
            self._report(watch, error)
        except TesUnreachable as error:
            self._silent_since = self._silent_since or time.monotonic()
            self._report(watch, error)
            return error
        else:
            self._told(watch, state_of(document))
        return None

    def _told(self, watch: _Watch, state: TaskState) -> None:
        followed, self._silent_since = watch.followed, None
        self._servers.answered(self._client)
        is_new = next_state(followed.task.state, state) is not followed.task.state
        if is_new:
            self._note_change(watch)
        if is_new or followed.is_unanswered:
            self._report(watch, state)
        else:
            followed.answered = time.monotonic()

    def _report(self, watch: _Watch, news: TaskState | Exception) -> None:
        if watch.followed.reported is None:
            watch.followed.reported = news
            watch.followed.woken.set()

    def _note_change(self, watch: _Watch) -> None:
        watch.changed = self._changed = time.monotonic()
        self._woken.set()
        if watch.early is None and self._early < MOST_EARLY and len(self._watched) <= MANY:
            self._early += 1
            watch.early = asyncio.get_running_loop().create_task(self._look_often(watch))
            watch.early.add_done_callback(lambda _: self._end_early(watch))

    def _end_early(self, watch: _Watch) -> None:
        self._early -= 1
        watch.early = None

    async def _look_often(self, watch: _Watch) -> None:
        while (age := time.monotonic() - watch.changed) < EARLY_SECONDS:
            await asyncio.sleep(self._polling.first_looks(age))
            if watch.followed.reported is None and await self._ask(watch):
                return

    async def _wait(self, took: float, worked: float) -> None:
        """Until the next round is due: that may be sooner than it seemed, where something changes meanwhile."""
        ended, jitter = time.monotonic(), random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        while True:
            now = time.monotonic()
            silent = 0.0 if self._silent_since is None else now - self._silent_since
            left = ended + jitter * self._polling.round(now - self._changed, took, silent, worked) - now
            if self._watched and left <= 0:
                return
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if self._watched else None):
                    await self._woken.wait()


def _asked(watch: _Watch) -> float:
    return watch.asked


def _by_tag(watches: Sequence[_Watch]) -> Mapping[str, Sequence[FollowedTask]]:
    """By the gateway that recorded them, which is another one's for a task that was taken over."""
    found: defaultdict[str, list[FollowedTask]] = defaultdict(list)
    for one in watches:
        found[(one.followed.task.body.get("tags") or {}).get(TAG_GATEWAY, "")].append(one.followed)
    return found

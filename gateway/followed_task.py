"""A task that the gateway follows, as it is in memory, and how often its TES is asked for it."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.step_resources import StepLimit
from gateway.live_log import LiveLogs
from gateway.tes_client import TesClient
from tes.task import Task, TaskState, TesTask

FIRST_LOOK = 0.03
"""Seconds to the first look at a task."""
SHORTEST_ROUND = 0.5
LONGEST_UNANSWERED = 5.0


@dataclass(frozen=True, kw_only=True)
class PollingPolicy:
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

    def first_looks(self, age: float) -> float:
        """To the next look at a task that came, or began to run, `age` seconds ago: often at first, then calm."""
        return min(SHORTEST_ROUND, self.longest, max(FIRST_LOOK, age / 10))

    def round(self, quiet: float, took: float, unanswered: float = 0.0, worked: float = 0.0) -> float:
        """To the next round of questions about all tasks of a TES: soon after a change, later the longer all is
        `quiet`. A round that `took` long, or in which this process `worked` for long, as of many tasks, leaves both
        alone for longer; on a busy machine it takes longer without more work."""
        if unanswered:
            return min(LONGEST_UNANSWERED, self.longest, max(SHORTEST_ROUND, unanswered / 2))
        return min(self.longest, max(SHORTEST_ROUND, quiet / 20, took * 2, worked * 5))

    def patience_when(self, closing: float | None) -> float:
        """For how long a TES may give no answer, where the run has been ending since `closing`."""
        return self.patience if closing is None else min(self.patience, self.closing)


@dataclass(kw_only=True)
class FollowedTask:
    """A task in memory: `task` is replaced by newer values, `changed` tells whoever waits for it.

    Times are on the monotonic clock.
    """

    task: Task
    logs: Path
    client: TesClient | None = None
    is_new: bool = False
    """Whether no TES can have it yet, so that it may take what an earlier task has left."""
    waits_for_room: bool = False
    """Whether each TES that can have it has as many tasks as it may have."""
    excluded: dict[str, str] = field(default_factory=dict)
    """The servers, by name, that it is not offered to, each with why: it refused the task, or was away with it."""
    may_have: list[TesClient] = field(default_factory=list)
    """Each TES that may have the task, as its answer was lost: they are asked before anybody is offered it again."""
    cancel_requested: bool = False
    closing: float | None = None
    """Since when the run is ending."""
    answered: float = field(default_factory=time.monotonic)
    """When the TES last told of the task, and all was done that this called for."""
    reported: TaskState | Exception | None = None
    """What a look at the TES has brought that is still to be acted on: a state, or why there is none."""
    is_unanswered: bool = False
    """Whether the last look brought no state."""
    missing: float | None = None
    """Since when the TES says that it has no such task."""
    cancelled: float | None = None
    """When the TES was last told to cancel it."""
    running: float | None = None
    """Since when it was seen to run."""
    overtime: str = ""
    """Why it is cancelled, where it ran for longer than it may: to its engine it has then failed."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    live: LiveLogs = field(default_factory=dict)
    failure: str | None = None
    """Why the service, not the workflow, lost this task."""
    unconfirmed: bool = False
    """Whether it was given up without being seen to end."""

    is_shortened: bool = False
    """Whether only its state and tags are in memory: it has ended, and the rest is in the database."""

    def shorten(self) -> None:
        """Of a task that has ended, once all of it is in the database: a run may have a hundred thousand."""
        self.task = replace(self.task, body=TesTask(tags=self.task.body.get("tags") or {}), document=TesTask())
        self.is_shortened = True
        self.live.clear()

    async def wait_for_change(self, seen: TaskState, seconds: float) -> None:
        """Returns when the state is not `seen` any more, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.changed:
                await self.changed.wait_for(lambda: self.task.state is not seen)

    async def wait(self, seconds: float | None) -> bool:
        """Whether somebody woke it, since the last time or within `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()
            self.woken.clear()
            return True
        return False

    def limit_time(self, limit: StepLimit | None) -> None:
        """Notes that it runs, and asks for its end where that has been for longer than the limit (seconds)."""
        if self.task.state is TaskState.RUNNING and self.running is None:
            self.running = time.monotonic()
        left = self.seconds_left(limit)
        if limit is not None and left is not None and left <= 0 and not self.cancel_requested:
            self.overtime = f"it was ended as it ran for longer than {limit.amount:g} s ({limit.setting})"
            self.cancel_requested = True

    def seconds_left(self, limit: StepLimit | None) -> float | None:
        """For which it may run still; None where it does not run, or for any time."""
        if limit is None or self.running is None:
            return None
        return self.running + limit.amount - time.monotonic()

    def seconds_unanswered(self) -> float:
        """For how long the TES has told nothing of it; where the run is ending, since then at most."""
        return time.monotonic() - max(self.answered, self.closing or 0.0)

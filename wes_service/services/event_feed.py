"""What happens to runs, for many listeners at once: all of a process cost the database one question a second."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import anyio
import structlog
from anyio import CapacityLimiter, to_thread

from wes_service.core.ports import RunEvent, RunStore
from wes_service.core.run import TERMINAL

LOG = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
"""After so long without an event a listener hears that the connection is still there."""


@dataclass(kw_only=True)
class WatchedRun:
    """What came to a run since the first of its listeners is there; `changed` is another one after each change."""

    last: int
    listeners: int = 0
    is_gone: bool = False
    """Whether it was deleted."""
    events: list[RunEvent] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, events: Sequence[RunEvent]) -> None:
        """Tells all listeners; nothing at all means that the run is gone."""
        new = [event for event in events if event.number > self.last]
        self.events += new
        self.last = new[-1].number if new else self.last
        self.is_gone = not events
        self.changed.set()
        self.changed = asyncio.Event()


class RunEventFeed:
    """Used in one event loop; the store is asked in a thread of its own, so that no request waits for it."""

    def __init__(self, runs: RunStore, seconds: float = POLL_SECONDS, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._runs = runs
        self._seconds = seconds
        self._heartbeat = heartbeat
        self._watched: dict[str, WatchedRun] = {}
        self._poller: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)

    @property
    def listeners(self) -> int:
        """How many there are at the moment."""
        return sum(run.listeners for run in self._watched.values())

    async def follow(self, run_id: str, after: int, known: Sequence[RunEvent]) -> AsyncGenerator[RunEvent | None, None]:
        """The events with numbers above `after`, up to the one by which the run ends; None is a heartbeat.

        `known`: the history of the run, as it was read a moment ago.
        """
        run = self._join(run_id, known[-1].number)
        # A number that was never sent would keep the listener waiting for ever.
        after, over = min(after, known[-1].number), known[-1].state in TERMINAL
        try:
            for event in (event for event in known if event.number > after):
                after = event.number
                yield event
            while not over:
                changed = run.changed
                fresh = [event for event in run.events if event.number > after]
                for event in fresh:
                    after, over = event.number, event.state in TERMINAL
                    yield event
                if not fresh and run.is_gone:
                    return
                if not fresh:
                    with anyio.move_on_after(self._heartbeat) as waited:
                        await changed.wait()
                    if waited.cancelled_caught:
                        yield None
        finally:
            self._leave(run_id)

    def _join(self, run_id: str, last: int) -> WatchedRun:
        run = self._watched.setdefault(run_id, WatchedRun(last=last))
        run.listeners += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        return run

    def _leave(self, run_id: str) -> None:
        run = self._watched[run_id]
        run.listeners -= 1
        if not run.listeners:
            del self._watched[run_id]
        if not self._watched and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            after = {run_id: run.last for run_id, run in self._watched.items()}
            try:
                found = await to_thread.run_sync(self._runs.events_after, after, limiter=self._thread)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may be better
                LOG.warning("events can't be read", action="event_feed", problem=str(error))
                continue
            for run_id, events in found.items():
                if (run := self._watched.get(run_id)) is not None:
                    run.add(events)

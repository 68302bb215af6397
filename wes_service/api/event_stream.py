"""A run's events as they come: server-sent events (HTML Living Standard, section 9.2)."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from common.errors import InvalidField
from wes_service.api.errors import TooManyStreams
from wes_service.api.middleware import caller_of
from wes_service.core import run_log
from wes_service.core.ports import RunEvent, RunStore
from wes_service.core.run import TERMINAL
from wes_service.services.event_feed import RunEventFeed

MOST_STREAMS = 600
"""Of one process: each is a connection, and others need some, too (a process has 1024 files as a rule)."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
HEARTBEAT = b": the run goes on\n\n"
LONGEST_ID = 18


@dataclass(frozen=True, kw_only=True)
class EventStreams:
    """The operation StreamEvents. A stream takes no thread, however long it lasts."""

    runs: RunStore
    feed: RunEventFeed
    most: int = MOST_STREAMS

    async def stream(self, request: Request, run_id: str) -> Response:
        """From the beginning, or behind `Last-Event-ID`; 204 where there will be no more, as a browser then stops."""
        after = last_event_id(request.headers.get("Last-Event-ID", ""))
        known = await run_in_threadpool(self.runs.events, caller_of(request.scope).owner, run_id)
        if known[-1].state in TERMINAL and after >= known[-1].number:
            return Response(status_code=204, headers=HEADERS)
        if self.feed.listeners >= self.most:
            raise TooManyStreams
        return StreamingResponse(self._messages(run_id, after, known), media_type="text/event-stream", headers=HEADERS)

    async def _messages(self, run_id: str, after: int, known: Sequence[RunEvent]) -> AsyncIterator[bytes]:
        async with aclosing(self.feed.follow(run_id, after, known)) as events:
            async for event in events:
                yield HEARTBEAT if event is None else message(event)


def message(event: RunEvent) -> bytes:
    """One event of type `state`, with the data of schema Event; no text in it can begin another line."""
    data = json.dumps(run_log.event(event), separators=(",", ":"))
    return f"id: {event.number}\nevent: state\ndata: {data}\n\n".encode()


def last_event_id(text: str) -> int:
    """The number of the event that a client got last; 0 where there is none, `InvalidField` where it is no number."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_ID):
        raise InvalidField("Last-Event-ID", "this is not an id of these events")
    return int(text)

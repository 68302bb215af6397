"""Answers that are the same for everybody are worked out at most every so often, however many ask."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.browsers import SAFE_METHODS
from wes_service.api.edge import CALLER, AsgiApp, Message, Receive, Scope, Send

MOST = 64
"""Answers that are kept: one per path, and per name that this server is called by."""
LARGEST = 256 * 1024
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A whole answer, and when it was begun (seconds, monotonic)."""

    since: float
    messages: list[Message] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """An answer of status 200, to its end."""
        return bool(
            self.messages
            and self.messages[0].get("status") == 200
            and self.messages[-1]["type"] == "http.response.body"
            and not self.messages[-1].get("more_body", False)
        )

    @property
    def size(self) -> int:
        return sum(len(message.get("body", b"")) for message in self.messages)


class Remembered:
    """ASGI middleware behind the edge: GETs of `paths` are answered by what was answered `seconds` ago or less.

    A request that may change something, and came to this process, ends all that is kept.
    """

    def __init__(
        self, app: AsgiApp, paths: frozenset[str], seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._paths = paths
        self._seconds = seconds
        self._now = now
        self._kept: dict[Key, Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and self._is_kept(scope):
            await self._answer((scope["path"], scope[CALLER].links.base), scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if scope.get("method") not in SAFE_METHODS:
                self._kept.clear()

    def _is_kept(self, scope: Scope) -> bool:
        return scope["path"] in self._paths and not scope.get("query_string")

    async def _answer(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        kept = self._kept.get(key)
        if kept is None or self._now() - kept.since >= self._seconds:
            await self._ask(key, scope, receive, send)
            return
        for message in kept.messages:
            await send(message)

    async def _ask(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        fresh = Kept(since=self._now())

        async def keep(message: Message) -> None:
            fresh.messages.append(message)
            await send(message)

        await self._app(scope, receive, keep)
        if len(self._kept) >= MOST:
            self._kept.clear()
        if fresh.is_whole and fresh.size <= LARGEST:
            self._kept[key] = fresh

"""Who may connect to the gateway's socket, how many connections a run may have, and how long one may be idle."""

import asyncio
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import structlog
from uvicorn.protocols.http.auto import AutoHTTPProtocol

log = structlog.get_logger(__name__)

IDLE_SECONDS = 60.0
MOST_CONNECTIONS = 256
"""Of one sandbox; an engine asks with a few dozen threads at most."""
_CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The process at the other end of a Unix socket, as the kernel tells it."""

    pid: int
    uid: int

    @property
    def sandbox(self) -> str:
        """What it shares with all processes of its run, and with no other run: its namespace of processes."""
        try:
            return str(Path(f"/proc/{self.pid}/ns/pid").readlink())
        except OSError:
            return str(self.pid)


def peer_of(connection: socket.socket) -> Peer | None:
    """None for a connection over TCP, of which the kernel tells nothing."""
    if connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(pid=pid, uid=uid)


class Guard:
    """Decides for each new connection; used in the gateway's loop only."""

    def __init__(self, uids: frozenset[int], most: int = MOST_CONNECTIONS) -> None:
        self._uids = uids
        self._most = most
        self._open: Counter[str] = Counter()

    def enter(self, peer: Peer | None) -> str | None:
        """Where the connection is counted; None where it is refused."""
        if peer is not None and peer.uid not in self._uids:
            log.warning("another account was refused", action="connection_refused", uid=peer.uid)
            return None
        place = peer.sandbox if peer else "tcp"
        if self._open[place] >= self._most:
            log.warning("too many connections of one run", action="connection_refused", most=self._most)
            return None
        self._open[place] += 1
        return place

    def leave(self, place: str) -> None:
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]


class GuardedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which itself ends what is idle after an answer, but waits for ever for a request."""

    guard: ClassVar[Guard]
    _place: str | None = None
    _timer: asyncio.TimerHandle | None = None
    _heard = 0.0

    def connection_made(self, transport: Any) -> None:
        self._place = self.guard.enter(peer_of(transport.get_extra_info("socket")))
        super().connection_made(transport)
        if self._place is None:
            transport.abort()
            return
        self._heard = self.loop.time()
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._place is not None:
            self.guard.leave(self._place)
            self._place = None
        super().connection_lost(exc)

    def _look(self) -> None:
        left = self._heard + IDLE_SECONDS - self.loop.time()
        if left <= 0 and self._waits():
            self.transport.abort()
            return
        self._timer = self.loop.call_later(max(left, IDLE_SECONDS / 4), self._look)

    def _waits(self) -> bool:
        """For the client: not for an answer of ours."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body


def guarded_protocol(guard: Guard) -> type[asyncio.Protocol]:
    """The protocol with a guard, as uvicorn wants a class."""
    return type("GuardedProtocol", (GuardedProtocol,), {"guard": guard})

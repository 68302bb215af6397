"""The way out of a sandbox without network: an HTTP proxy on a Unix socket that connects only where a policy lets it.

Tunnels (RFC 9110, section 9.3.6) and plain requests in absolute form (RFC 9112, section 3.2.2). The name is resolved
here, once, and what came out is looked at and connected to.
"""

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import h11
import structlog

from common.errors import EngineError, SystemFailure
from sandbox.network import (
    AddressRefused,
    Endpoint,
    NetworkPolicy,
    Resolve,
    TransientFailure,
    checked_endpoints,
    parsed_address,
    system_resolve,
)
from sandbox.unix_socket import open_listener, peer_of

log = structlog.get_logger(__name__)

CHUNK = 64 * 1024
HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
CONNECT_SECONDS = 15.0
IDLE_SECONDS = 600.0
"""How long a tunnel may be silent both ways."""
MOST_CONNECTIONS = 128
"""Of one sandbox at once."""
MOST_REFUSALS = 20
"""Sentences that are kept for a run's log; the rest is repetition."""
RESOLVERS = 16
STARTS_WITHIN = 10.0
FORBIDDEN = 403
LOWEST_FREE_PORT = 1024
WEB_PORTS = frozenset({80, 443})
HOP_BY_HOP = frozenset({b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive", b"te", b"upgrade"})


@dataclass(frozen=True, kw_only=True)
class _Target:
    host: str
    port: int
    head: bytes
    """What the host is sent first; empty for a tunnel."""


class _Refused(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(eq=False, kw_only=True)
class EgressSocket:
    """One sandbox's own way out, at `path`; nobody else can tell its connections from others of the same run."""

    path: Path
    connections: int = 0
    server: asyncio.Server | None = None
    _refusals: dict[str, None] = field(default_factory=dict)

    def refusals(self) -> tuple[str, ...]:
        """A sentence for each host that was refused so far, each once, oldest first; `MOST_REFUSALS` at the most."""
        return tuple(self._refusals)

    def note_refusal(self, sentence: str) -> None:
        """Keeps it, where it is not one of many."""
        if len(self._refusals) < MOST_REFUSALS:
            self._refusals[sentence] = None


class EgressProxy:
    """All the ways out of a program, served by a thread of its own; its methods may be called from any thread.

    `uids` may connect. Sockets lie in `folder`, of which a sandbox must see its own alone.
    """

    def __init__(
        self, folder: Path, policy: NetworkPolicy, uids: Iterable[int], resolve: Resolve = system_resolve
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._uids = frozenset(uids)
        self._resolve = resolve
        self._numbers = itertools.count(1)
        self._opened: set[EgressSocket] = set()
        self._resolvers = futures.ThreadPoolExecutor(RESOLVERS, "egress-resolver")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="egress", daemon=True)

    def start(self) -> None:
        """Makes the folder; from here on sockets can be opened."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)
        self._thread.start()

    def stop(self) -> None:
        """Ends every connection."""
        for opened in list(self._opened):
            self.close(opened)
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(STARTS_WITHIN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STARTS_WITHIN)
        self._loop.close()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def open(self, name: str) -> EgressSocket:
        """A new way out, whose socket has `name` in its own; `SystemFailure` where it can't be made."""
        opened = EgressSocket(path=self._folder / f"{name}-{next(self._numbers)}.sock")
        try:
            listener = open_listener(self._folder, opened.path.name, MOST_CONNECTIONS)
        except OSError as error:
            raise SystemFailure(f"the engine's way to the network could not be made: {error}") from error
        asyncio.run_coroutine_threadsafe(self._listen(opened, listener), self._loop).result(STARTS_WITHIN)
        self._opened.add(opened)
        return opened

    def close(self, opened: EgressSocket) -> None:
        """Takes no more connections; those that are open end with their sandbox."""
        self._opened.discard(opened)
        opened.path.unlink(missing_ok=True)
        if opened.server is not None:
            self._loop.call_soon_threadsafe(opened.server.close)

    async def _listen(self, opened: EgressSocket, listener: socket.socket) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(opened, reader, writer)

        opened.server = await asyncio.start_unix_server(serve, sock=listener, limit=CHUNK)

    async def _serve(self, opened: EgressSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        if peer is None or peer.uid not in self._uids or opened.connections >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        opened.connections += 1
        try:
            await self._answer(opened, reader, writer)
        except (TimeoutError, OSError, h11.ProtocolError):
            # Whoever asked is gone, or says nothing: there is nobody to be told.
            writer.transport.abort()
        finally:
            opened.connections -= 1
            writer.close()

    async def _answer(self, opened: EgressSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        try:
            request = await asyncio.wait_for(_request(asked, reader), HEAD_SECONDS)
            if request is None:
                return
            target = _target(request)
            there = await self._connect(target)
        except _Refused as refused:
            if refused.status == FORBIDDEN:
                opened.note_refusal(str(refused))
            log.info(str(refused), action="egress_refused", socket=opened.path.stem)
            await _send_error(asked, writer, refused)
            return
        if target.head:
            there[1].write(target.head)
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there[1].write(asked.trailing_data[0])
        await _Tunnel().carry((reader, writer), there)

    async def _connect(self, target: _Target) -> "Streams":
        for address, port in await self._endpoints(target):
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(address, port, limit=CHUNK), CONNECT_SECONDS)
        raise _Refused(502, f"the host {target.host} can't be reached at port {target.port}")

    async def _endpoints(self, target: _Target) -> Sequence[Endpoint]:
        asked = self._loop.run_in_executor(
            self._resolvers, checked_endpoints, self._policy, self._resolve, target.host, target.port
        )
        try:
            endpoints = await asyncio.wait_for(asked, HEAD_SECONDS)
        except AddressRefused as error:
            raise _Refused(FORBIDDEN, str(error)) from None
        except (EngineError, TransientFailure) as error:
            raise _Refused(502, str(error)) from None
        self._check_port(target, endpoints)
        return endpoints

    def _check_port(self, target: _Target, endpoints: Sequence[Endpoint]) -> None:
        """Of hosts that nobody named, those for mail, remote shells and the like are not for engines."""
        if target.port in WEB_PORTS or target.port >= LOWEST_FREE_PORT:
            return
        if not all(self._policy.names(target.host, parsed_address(address)) for address, _ in endpoints):
            raise _Refused(
                FORBIDDEN,
                f"port {target.port} of {target.host} is not for engines, which get 80, 443 and those from 1024 on; "
                f"who runs this server can allow the host by its name ({self._policy.setting})",
            )


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _request(asked: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The head of a request; None where the connection ends before one. `_Refused` for what is no HTTP."""
    while True:
        try:
            event = asked.next_event()
        except h11.RemoteProtocolError as error:
            raise _Refused(400, f"this is no request that a proxy understands: {error}") from None
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        asked.receive_data(await reader.read(CHUNK))


def _target(request: h11.Request) -> _Target:
    text = request.target.decode("ascii")
    try:
        if request.method == b"CONNECT":
            # Some clients leave the brackets of an IPv6 address out.
            name, _, number = text.rpartition(":")
            place = urlsplit(f"//[{name.strip('[]')}]:{number}" if ":" in name else f"//{text}")
            return _Target(host=_host(place.hostname), port=place.port or 443, head=b"")
        parts = urlsplit(text)
        host, port = _host(parts.hostname), parts.port or 80
    except ValueError:
        raise _Refused(400, f"{text} names no host") from None
    if parts.scheme != "http":
        raise _Refused(501, f"this proxy knows http and https only, not {parts.scheme or 'a path'}")
    return _Target(host=host, port=port, head=_head(request, f"[{host}]" if ":" in host else host, port))


def _host(name: str | None) -> str:
    if not name:
        raise ValueError(name)
    return name


def _head(request: h11.Request, host: str, port: int) -> bytes:
    """The same request in origin form, for one answer: the connection is not another host's afterwards."""
    parts = urlsplit(request.target.decode("ascii"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    dropped = HOP_BY_HOP | {b"host"}
    lines = [request.method + b" " + path.encode("ascii") + b" HTTP/1.1"]
    lines += [b"Host: " + (host if port == 80 else f"{host}:{port}").encode("ascii"), b"Connection: close"]
    lines += [name + b": " + value for name, value in request.headers.raw_items() if name.lower() not in dropped]
    return b"\r\n".join([*lines, b"", b""])


async def _send_error(asked: h11.Connection, writer: asyncio.StreamWriter, refused: _Refused) -> None:
    """The sentence is the reason phrase too: of a tunnel that was refused, most clients show nothing else."""
    body = f"{refused}\n".encode("ascii", "replace")
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
    answer = h11.Response(status_code=refused.status, headers=headers, reason=body.strip())
    for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(asked.send(event) or b"")
    await asyncio.wait_for(writer.drain(), HEAD_SECONDS)


class _Tunnel:
    """Copies both ways until both have ended, or neither has said anything for a while."""

    def __init__(self) -> None:
        self._moved = time.monotonic()

    async def carry(self, inner: Streams, outer: Streams) -> None:
        ways = [asyncio.create_task(self._copy(*way)) for way in ((inner[0], outer[1]), (outer[0], inner[1]))]
        try:
            while (left := self._moved + IDLE_SECONDS - time.monotonic()) > 0:
                _, open_ways = await asyncio.wait(ways, timeout=left)
                if not open_ways:
                    return
        finally:
            for way in ways:
                way.cancel()
            outer[1].close()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                self._moved = time.monotonic()
                target.write(data)
                await target.drain()
        with contextlib.suppress(OSError, RuntimeError):
            target.write_eof()

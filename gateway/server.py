"""The gateway as a thread of the worker: an event loop that serves a Unix socket (and loopback where need be)."""

import asyncio
import contextlib
import glob
import hmac
import os
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import structlog
import uvicorn

from common.errors import SystemFailure, Unauthorized
from common.object_store import ObjectStores
from common.paging import Cursor
from gateway.cancels import CancelReconciler
from gateway.http_api import ConnectionLimiter, gateway_app, limited_protocol
from gateway.open_task_limits import OpenTaskLimits
from gateway.outages import GatewayMetrics
from gateway.remote_sources import RemoteSources, WebPages
from gateway.session import RunScope, Session
from gateway.session_factory import SessionFactory, polling_policy
from gateway.task_lists import TaskLists
from gateway.task_poller import TaskPoller
from gateway.tes_client import MOST_REQUESTS, TesClient
from gateway.tes_servers import TesServers
from gateway.transfer_threads import TransferThreads
from sandbox.identity import foreign_identity
from sandbox.network import network_policy
from sandbox.unix_socket import open_listener
from tes.http import async_tes_client
from tes.task import Task
from wes_service.core.ports import Clock, TaskStore
from wes_service.settings import Settings

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
SOCKET_NAME = "gw.sock"
BACKLOG = 1024
STARTS_WITHIN = 10.0
CLOSING_LOOK = 0.25
TES_SECONDS = 30.0
TASKS_AT_ONCE = 1_000
STORE_THREADS = 32
"""What waits for the database at once is stored in one transaction; asyncio itself would have six on two cores."""
TRANSFERS = 8
"""Files that are moved at once, of all runs."""
FETCHES = 8
"""Inputs that are fetched at once from servers of others."""
TES_CONNECTIONS = httpx.Limits(max_connections=MOST_REQUESTS, max_keepalive_connections=MOST_REQUESTS)
"""To each TES."""


class Gateway:
    """One per worker. `start`, `stop` and the `*_session` methods are called from any thread."""

    def __init__(self, settings: Settings, store: TaskStore, clock: Clock, folder: Path, *, on_tcp: bool) -> None:
        self.folder = folder
        self.tcp_port: int | None = None
        self._settings = settings
        self._store = store
        self._clock = clock
        self._on_tcp = on_tcp
        self.metrics = GatewayMetrics()
        self._sessions: dict[str, Session] = {}
        self._notes: dict[str, list[str]] = {}
        self._servers = TesServers({}, self._open_by_url)
        self._factory: SessionFactory | None = None
        self._transfers = TransferThreads(TRANSFERS)
        self._fetches = TransferThreads(FETCHES)
        self._sources = RemoteSources(
            web=WebPages(policy=network_policy(settings.fetch_allow), ca_file=settings.fetch_ca_file),
            stores=ObjectStores(settings.stores),
        )
        self._ready = threading.Event()
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    def start(self) -> None:
        """Returns when the gateway answers."""
        self._thread.start()
        if not self._ready.wait(STARTS_WITHIN):
            raise SystemFailure("the gateway did not start")

    def stop(self) -> None:
        """Returns when it takes no more requests."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(STARTS_WITHIN)
        self._transfers.stop()
        self._fetches.stop()

    @property
    def is_moving_files(self) -> bool:
        """Whether a file is on its way to or from a store, also after `stop`."""
        return self._transfers.are_busy or self._fetches.are_busy

    def open_session(self, scope: RunScope) -> Session:
        """A session with a fresh secret."""
        return self._call(self._open(scope))

    def reopen_session(self, scope: RunScope, *, ending: bool) -> Session:
        """A session that holds all tasks of the run's earlier attempts, and goes on with those that are open; with
        `ending` only these, and it cancels them."""
        return self._call(self._reopen(scope, ending=ending))

    def close_session(self, session: Session, timeout: float, in_a_hurry: Callable[[], bool] = lambda: False) -> bool:
        """Cancels what is open; whether every task was seen to end within `timeout` seconds, or before a hurry. What
        was not is cancelled as soon as its TES can be asked."""
        until = time.monotonic() + timeout
        closing = self._begin(session.close())
        try:
            while not futures.wait([closing], CLOSING_LOOK).done:
                if in_a_hurry() or time.monotonic() > until:
                    return False
            return closing.result()
        finally:
            self._sessions.pop(session.token, None)

    def begin_fetch(self, session: Session, urls: Iterable[str]) -> "futures.Future[None]":
        """Brings the bytes of files of the run that are in a store still; as `Session.fetch_all`."""
        return self._begin(session.fetch_all(urls))

    def drop_session(self, session: Session) -> None:
        """Leaves a run's tasks as they are, to another worker."""
        self._sessions.pop(session.token, None)
        self._notes.pop(session.scope.lease.run_id, None)
        self._call(session.drop())

    def notes(self, run_id: str) -> list[str]:
        """Lines for the run's system log that came up since the last call."""
        return self._notes.pop(run_id, [])

    def open_tasks(self) -> Mapping[tuple[str, str], int]:
        """How many tasks have not ended, by TES (empty: none has taken it yet) and state."""
        sessions = list(self._sessions.values())
        tasks = [one.task for session in sessions for one in list(session.tasks.values())]
        return Counter((task.tes_url or "", task.state.value) for task in tasks if not task.terminal)

    def by_token(self, token: str) -> Session:
        """`Unauthorized` where no open run has this secret."""
        for known, session in list(self._sessions.items()):
            if hmac.compare_digest(known.encode(), token.encode()):
                return session
        raise Unauthorized

    def _call(self, work: Coroutine[Any, Any, Result], timeout: float | None = 60.0) -> Result:
        return self._begin(work).result(timeout)

    def _begin(self, work: Coroutine[Any, Any, Result]) -> "futures.Future[Result]":
        if self._loop is None:
            raise SystemFailure("the gateway is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self, scope: RunScope) -> Session:
        if self._factory is None:
            raise SystemFailure("the gateway is not running")
        session = self._factory.session(scope, partial(self._note, scope.lease.run_id))
        self._sessions[session.token] = session
        return session

    async def _reopen(self, scope: RunScope, *, ending: bool) -> Session:
        run_id = scope.lease.run_id
        known = await asyncio.to_thread(self._known_tasks, run_id, ending=ending)
        session = await self._open(scope)
        for task in known:
            session.resume(task, self._servers.clients, ending=ending)
        return session

    def _known_tasks(self, run_id: str, *, ending: bool) -> Sequence[Task]:
        """Those that are open, and where the run goes on those that have ended before them, oldest first."""
        ended: list[Task] = []
        after: Cursor | None = None
        while not ending:
            page = self._store.page(run_id, TASKS_AT_ONCE, after)
            ended += [task for task in page.items if task.terminal]
            if (after := page.next) is None:
                break
        return [*ended, *self._store.open(run_id)]

    def _session_factory(self) -> SessionFactory:
        polling = polling_policy(self._settings)
        return SessionFactory(
            name=secrets.token_hex(8),
            settings=self._settings,
            store=self._store,
            clock=self._clock,
            servers=self._servers,
            pollers={
                client.name: TaskPoller(client, self._servers, polling, TaskLists(client=client))
                for client in self._servers.clients
            },
            metrics=self.metrics,
            object_stores=self._sources.stores,
            transfers=self._transfers,
            sources=self._sources,
            fetches=self._fetches,
            limits=OpenTaskLimits(self._settings.open_tasks, self._settings.owner_open_tasks),
        )

    def _open_by_url(self) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for (url, _), count in self.open_tasks().items():
            counts[url] += count
        return counts

    def _note(self, run_id: str, line: str) -> None:
        self._notes.setdefault(run_id, []).append(line)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(futures.ThreadPoolExecutor(STORE_THREADS, "gateway"))
        async with contextlib.AsyncExitStack() as clients:
            servers = {}
            for server in self._settings.tes_servers:
                asked = async_tes_client(server.url, TES_SECONDS, TES_CONNECTIONS, server.ca_file)
                http = await clients.enter_async_context(asked)
                most = self._settings.max_tes_answer_bytes
                servers[server.name] = (server, TesClient(server, http, self.metrics.count_request, most))
            self._servers = TesServers(servers, self._open_by_url, brings=self._sources.brings)
            self._factory = self._session_factory()
            sockets = [self._unix_socket()]
            if self._on_tcp:
                sockets.append(self._tcp_socket())
            foreign = foreign_identity(self._settings.sandbox_uid)
            config = uvicorn.Config(
                gateway_app(self, self._clock, self._settings.max_task_bytes),
                http=limited_protocol(ConnectionLimiter(frozenset({0, os.geteuid(), foreign.uid}))),
                log_config=None,
                access_log=False,
                proxy_headers=False,
                lifespan="off",
                timeout_keep_alive=60,
                # Who waits for a task is an engine that has been ended by then.
                timeout_graceful_shutdown=1,
            )
            self._server = uvicorn.Server(config)
            announce = asyncio.create_task(self._announce(self._server))
            cancels = CancelReconciler(store=self._store, clients=lambda: self._servers.clients, now=self._clock.now)
            works = [cancels.run(), *(poller.run() for poller in self._factory.pollers.values())]
            background = [asyncio.create_task(work) for work in works]
            try:
                await self._server.serve(sockets=sockets)
            finally:
                announce.cancel()
                for work in background:
                    work.cancel()
                for listener in sockets:
                    listener.close()

    async def _announce(self, server: uvicorn.Server) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not server.started and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._ready.set()

    def _unix_socket(self) -> socket.socket:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        return open_listener(self.folder, SOCKET_NAME, BACKLOG)

    def _tcp_socket(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.tcp_port = listener.getsockname()[1]
        return listener


def remove_abandoned_folders(folder: Path, host: str) -> None:
    """Removes what gateways of this host that were killed left in `folder`, which other machines may share: each has a
    folder of its worker's id."""
    for left in folder.glob(f"{glob.escape(host)}-*"):
        pid = left.name.removeprefix(f"{host}-").partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)) and not _is_served(left / SOCKET_NAME):
            remove_socket_folder(left)


def _is_served(path: Path) -> bool:
    """Whether a program listens there, which may be in a container and so have a pid that is not known here."""
    with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
        handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        opened.callback(os.close, handle)
        client = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.connect(f"/proc/self/fd/{handle}/{path.name}")
        return True
    return False


def remove_socket_folder(folder: Path) -> None:
    """Removes the folder and the sockets that its worker left in it."""
    with contextlib.suppress(OSError):
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()

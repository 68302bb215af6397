"""The gateway as a thread of the worker: an event loop that serves a Unix socket (and loopback where need be)."""

import asyncio
import contextlib
import hmac
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent import futures
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import structlog
import uvicorn

from common.configuration import SHARED
from common.errors import SystemFailure, Unauthorized
from common.object_store import ObjectStores
from common.settings import GB
from gateway.cancels import CancelReconciler
from gateway.file_origins import DownloadLimits, FileOrigins
from gateway.followed_task import PollingPolicy
from gateway.http_api import ConnectionLimiter, gateway_app, limited_protocol
from gateway.outages import SHORTEST_OUTAGE, GatewayMetrics, Outages
from gateway.run_files import FileTree
from gateway.run_objects import RunObjects
from gateway.session import RunScope, Session
from gateway.stored_files import StoredFiles, TransferThreads, stored_files
from gateway.task_follower import TaskFollower
from gateway.tes_client import TesClient
from gateway.tes_servers import TesServers
from gateway.translation import DataElsewhere, SharedFiles, TaskFiles
from sandbox.identity import foreign_identity
from tes.http import async_tes_client
from wes_service.core.ports import Clock, TaskStore
from wes_service.settings import Settings

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
SOCKET_NAME = "gw.sock"
STARTS_WITHIN = 10.0
CLOSING_LOOK = 0.25
TES_SECONDS = 30.0
TRANSFERS = 8
"""Files that are moved at once, of all runs."""
TES_CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=32)
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
        self._object_stores = ObjectStores(settings.stores)
        self._transfers = TransferThreads(TRANSFERS)
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

    @property
    def is_moving_files(self) -> bool:
        """Whether a file is on its way to or from a store, also after `stop`."""
        return self._transfers.are_busy

    def open_session(self, scope: RunScope) -> Session:
        """A session with a fresh secret."""
        return self._call(self._open(scope))

    def recover_session(self, scope: RunScope) -> Session:
        """A session that holds the tasks which an earlier worker left open."""
        return self._call(self._recover(scope))

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
        settings, run_id = self._settings, scope.lease.run_id
        note = partial(self._note, run_id)
        origins = self._origins(scope)
        follower = TaskFollower(
            store=self._store,
            lease=scope.lease,
            servers=self._servers,
            choice=scope.tes,
            polling=PollingPolicy(
                longest=settings.poll_seconds,
                patience=settings.tes_patience_seconds,
                forgotten=settings.tes_forgotten_seconds,
                resend=settings.poll_seconds,
                submissions=settings.tes_resubmissions + 1,
            ),
            files=self._files(scope, origins),
            outages=Outages(run_id, note, min(SHORTEST_OUTAGE, settings.tes_patience_seconds / 4)),
            note=note,
            count_state=self.metrics.count_state,
            now=self._clock.now,
        )
        gpu = ["gpu"] if any(server.max_gpu for server in settings.tes_servers) else []
        session = Session(
            scope=scope,
            store=self._store,
            follower=follower,
            storages=settings.storages,
            fetch_file=None if origins is None else partial(self._transfers.run, origins.fetch),
            backend_parameters=frozenset([*settings.tes_backend_parameters, *gpu]),
        )
        self._sessions[session.token] = session
        return session

    async def _recover(self, scope: RunScope) -> Session:
        left = await asyncio.to_thread(self._store.open, scope.lease.run_id)
        session = await self._open(scope)
        for task in left:
            session.resume(task, self._servers.clients)
        return session

    def _origins(self, scope: RunScope) -> FileOrigins | None:
        """None where no TES has a storage."""
        objects = [RunObjects(storage=one, run_id=scope.lease.run_id) for one in self._settings.storages]
        if not objects:
            return None
        return FileOrigins(
            files=FileTree(root=scope.root, identity=scope.identity),
            stores=self._object_stores,
            folders=frozenset(one.folder for one in objects),
            limits=_download_limits(self._settings),
        )

    def _files(self, scope: RunScope, origins: FileOrigins | None) -> Callable[[TesClient], TaskFiles]:
        """How each TES gets the files of a run; those that have one storage share what is in it."""
        fetch = None if origins is None else origins.fetch
        shared = SharedFiles(root=scope.root, identity=scope.identity, fetch_withheld=fetch)
        stored = {} if origins is None else self._by_storage(scope, origins)
        files: dict[str, TaskFiles] = {}
        for server in self._settings.tes_servers:
            found = shared if server.storage == SHARED else stored[server.storage]
            files[server.name] = replace(found, data=DataElsewhere(urls=server.data))
        return lambda client: files[client.name]

    def _by_storage(self, scope: RunScope, origins: FileOrigins) -> dict[str, StoredFiles]:
        return {
            storage: stored_files(
                objects=RunObjects(storage=storage, run_id=scope.lease.run_id),
                origins=origins,
                threads=self._transfers,
            )
            for storage in self._settings.storages
        }

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
        async with contextlib.AsyncExitStack() as clients:
            servers = {}
            for server in self._settings.tes_servers:
                asked = async_tes_client(server.url, TES_SECONDS, TES_CONNECTIONS, server.ca_file)
                http = await clients.enter_async_context(asked)
                most = self._settings.max_tes_answer_bytes
                servers[server.name] = (server, TesClient(server, http, self.metrics.count_request, most))
            self._servers = TesServers(servers, self._open_by_url)
            sockets = [self._unix_socket()]
            if self._on_tcp:
                sockets.append(self._tcp_socket())
            foreign = foreign_identity(self._settings.sandbox_uid)
            config = uvicorn.Config(
                gateway_app(self, self._clock, self._settings.max_task_bytes),
                http=limited_protocol(ConnectionLimiter(frozenset({0, os.geteuid(), foreign.uid}))),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_keep_alive=60,
            )
            self._server = uvicorn.Server(config)
            announce = asyncio.create_task(self._announce(self._server))
            reconciler = CancelReconciler(store=self._store, clients=lambda: self._servers.clients, now=self._clock.now)
            cancels = asyncio.create_task(reconciler.run())
            try:
                await self._server.serve(sockets=sockets)
            finally:
                announce.cancel()
                cancels.cancel()
                for listener in sockets:
                    listener.close()

    async def _announce(self, server: uvicorn.Server) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not server.started and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._ready.set()

    def _unix_socket(self) -> socket.socket:
        """Bound by way of the folder's descriptor, as a socket's path may be 107 bytes long and a folder's longer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        handle = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        finally:
            os.close(handle)
        # For the engines' account, which may have no group with this one: others are refused as they connect.
        (self.folder / SOCKET_NAME).chmod(0o666)
        listener.listen(1024)
        return listener

    def _tcp_socket(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.tcp_port = listener.getsockname()[1]
        return listener


def _download_limits(settings: Settings) -> DownloadLimits:
    return DownloadLimits(
        files=settings.max_output_files,
        run_bytes=None if settings.run_disk_gb is None else round(settings.run_disk_gb * GB),
        free_bytes=round(settings.min_free_gb * GB / 2),
    )


def remove_socket_folder(folder: Path) -> None:
    """Removes what `Gateway` left in its folder."""
    with contextlib.suppress(OSError):
        (folder / SOCKET_NAME).unlink(missing_ok=True)
        folder.rmdir()

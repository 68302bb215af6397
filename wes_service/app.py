"""Composition of the API process: the HTTP side on the real stores, queue, engines and folders."""

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from common.errors import SettingsError
from common.logs import configure_logs
from common.settings import read_token
from engines.registry import ENGINES
from sandbox.identity import foreign_identity
from wes_service.api.app import ApiDependencies, create_api
from wes_service.api.monitoring import tes_probes
from wes_service.api.protocol import WesHttpProtocol
from wes_service.queue.celery_queue import CeleryQueue
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders
from wes_service.store.adoption import unowned_runs_warning
from wes_service.store.database import SystemClock, open_database, upgrade

LOG = structlog.get_logger(__name__)
CLOSING_SECONDS = 5
BACKLOG = 2048
"""Connections that wait to be accepted; the kernel's own limit may be lower."""
ROOT = 0


@contextlib.contextmanager
def create_app(settings: Settings) -> Iterator[ASGIApp]:
    """The app on what the settings name; its database and queue are closed at the end. `SettingsError` in words."""
    if not settings.redis_url:
        raise SettingsError("WES_REDIS_URL is needed; 'wes up' starts a Redis of its own")
    token = read_token(settings.token_file)
    settings.data.mkdir(parents=True, exist_ok=True)
    folders = RunFolders(settings.runs_folder, foreign_identity(settings.sandbox_uid))
    folders.prepare()
    upgrade(settings.database)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(contextlib.closing(open_database(settings.database)))
        queue = stack.enter_context(contextlib.closing(CeleryQueue(settings.redis_url)))
        dependencies = ApiDependencies(
            runs=database.runs,
            tasks=database.tasks,
            workers=database.workers,
            notifications=database.notifications,
            queue=queue,
            clock=SystemClock(),
            folders=folders,
            engines=ENGINES,
            token=token,
            uids=None if token else frozenset({ROOT, os.geteuid()}),
            probes=tes_probes(settings.tes_servers),
        )
        if token and (problem := unowned_runs_warning(database.transactions)):
            LOG.warning(f"runs: {problem}", action="serve")
        yield create_api(dependencies, settings)


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; the exit code."""
    configure_logs(settings.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn closes its connections first, and then raises the signal again, for this.
        signal.signal(number, _stop)
    with create_app(settings) as app, contextlib.closing(_listen(settings)) as listening:
        # What is there now stays, and the collector need not look at it again for each large answer.
        gc.collect()
        gc.freeze()
        LOG.info("listening", action="serve", host=settings.host, port=listening.getsockname()[1])
        uvicorn.Server(server_config(app)).run(sockets=[listening])
    return 0


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Nothing is believed of proxies (`X-Forwarded-*`): links are built from WES_PUBLIC_URL or the request itself."""
    return uvicorn.Config(
        app,
        http=WesHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=CLOSING_SECONDS,
    )


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(0)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        # From here on clients wait for uvicorn in place of being refused, as the log will say that it listens.
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(f"the API can't listen on {where} ({error.strerror}); choose another --port") from None
    return listening

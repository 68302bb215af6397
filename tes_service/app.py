"""The one place where the embedded TES is put together."""

import fcntl
import os
import resource
import shutil
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

import psutil
from starlette.types import ASGIApp

from common import browsers
from common.browsers import BrowserPolicy
from common.errors import SettingsError
from common.settings import read_token
from sandbox.identity import Identity, can_reach, foreign_identity
from sandbox.monitor import ResourceMonitor
from sandbox.network import network_policy
from tes_service.access import allowed_folders
from tes_service.admission import Bounds, Share
from tes_service.api.application import application
from tes_service.attempt import Desk
from tes_service.deliver import Delivery
from tes_service.fetch import HttpFetcher
from tes_service.inputs import Staging
from tes_service.runners.choose import Finder, Runners
from tes_service.service import Service, service_info
from tes_service.settings import TesSettings
from tes_service.spawn import Spawner
from tes_service.store import Store
from tes_service.supervise import Machine, Supervisor
from tes_service.task import GB

OPEN_FILES = 65536
MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class Application:
    """`asgi` answers requests once `start` was called; `close` ends everything that runs."""

    asgi: ASGIApp
    supervisor: Supervisor
    store: Store
    spawner: Spawner
    runner: str
    lock: IO[bytes]

    def start(self) -> None:
        self.supervisor.start()

    def close(self) -> None:
        self.supervisor.close()
        self.spawner.close()
        self.store.close()
        self.lock.close()


def build(settings: TesSettings, runners: Runners | None = None) -> Application:
    """`SettingsError` where it can't work as it is set. `runners` takes the place of those that would be found."""
    token = read_token(settings.token_file)
    identity = foreign_identity(settings.sandbox_uid)
    _prepare_data(settings, identity)
    lock = _lock(settings.data)
    _raise_file_limit()
    spawner = Spawner()
    server = _own_id(settings.data / "id")
    runners = runners or Finder(settings=settings, identity=identity, spawner=spawner, server=server).find()
    allowed = allowed_folders(settings.allow, settings.allow_data, settings.runs)
    fetcher = HttpFetcher(
        limit=settings.max_input_bytes,
        retries=settings.fetch_retries,
        seconds=settings.fetch_seconds,
        policy=network_policy(settings.fetch_allow, setting="TES_FETCH_ALLOW"),
    )
    desk = Desk(
        staging=Staging(allowed=allowed, identity=identity, fetcher=fetcher),
        delivery=Delivery(allowed=allowed, identity=identity),
        runners=runners,
        bounds=bounds(settings),
        watch=ResourceMonitor(
            settings.tasks_folder, round(settings.min_free_gb * GB), total_memory=psutil.virtual_memory().total
        ),
    )
    store = Store(settings.database)
    supervisor = Supervisor(store, desk, machine(settings), settings.tasks_folder, timedelta(days=settings.keep_days))
    service = Service(store=store, supervisor=supervisor, allowed=allowed, info=service_info(settings, runners.first))
    return Application(
        asgi=application(service, token, settings.max_task_bytes, _browsers(settings, token=token is not None)),
        supervisor=supervisor,
        store=store,
        spawner=spawner,
        runner=runners.first.name,
        lock=lock,
    )


def _browsers(settings: TesSettings, *, token: bool) -> BrowserPolicy | None:
    """None on a Unix socket, to which no browser connects."""
    if settings.uds is not None:
        return None
    return browsers.policy(token=token, origins=(), host=settings.host, public_url="")


def bounds(settings: TesSettings) -> Bounds:
    """A task that asks for no memory may have most of the machine's, so that there is some for what ends it."""
    return Bounds(
        memory_bytes=round((settings.memory_gb * GB) if settings.memory_gb else psutil.virtual_memory().total * MOST),
        processes=settings.processes,
        log_bytes=round(settings.log_gb * GB),
        log_folder=settings.log_folder,
    )


def machine(settings: TesSettings) -> Machine:
    def free_disk() -> float:
        return settings.disk_gb or shutil.disk_usage(settings.data).free / GB

    share = Share(
        cpus=settings.cpus or len(os.sched_getaffinity(0)),
        memory=settings.memory_gb or psutil.virtual_memory().total / GB,
        disk=settings.disk_gb or shutil.disk_usage(settings.data).total / GB,
    )
    return Machine(share=share, free_disk=free_disk)


def _prepare_data(settings: TesSettings, identity: Identity) -> None:
    """Where the server is root, what tasks run as must be able to pass through the data folder, but not to list it."""
    mode = 0o711 if identity.drop else 0o700
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        settings.tasks_folder.mkdir(exist_ok=True)
        for folder in (settings.data, settings.tasks_folder):
            folder.chmod(mode)
    except OSError as error:
        raise SettingsError(f"TES_DATA: {settings.data} can't be used: {error.strerror}") from None
    if not can_reach(identity, settings.tasks_folder):
        raise SettingsError(f"TES_DATA: uid {identity.uid}, which tasks run as, can't reach {settings.data}")


def _own_id(file: Path) -> str:
    """Made once for a data folder, and the name of its containers' owner ever after."""
    if not file.exists():
        part = file.with_suffix(".part")
        part.write_text(uuid.uuid4().hex)
        part.rename(file)
    return file.read_text().strip()


def _lock(data: Path) -> IO[bytes]:
    """Held while the server lives: two would take each other's tasks for lost."""
    lock = (data / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SettingsError(f"TES_DATA: another server uses {data}") from None
    return lock


def _raise_file_limit() -> None:
    """Each input that is mounted in place is an open file while its task runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

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
from common.location import STORES, WEB
from common.object_store import ObjectStores
from common.settings import GB, read_token
from sandbox.identity import Identity, can_reach, foreign_identity
from sandbox.monitor import ResourceMonitor
from sandbox.network import network_policy
from tes_service.admission import Capacity, TaskLimits
from tes_service.api.application import application
from tes_service.folder_access import allowed_folders
from tes_service.ftp_source import FtpSource
from tes_service.http_transfer import HttpTransfer
from tes_service.inputs import StagingContext
from tes_service.outputs import OutputDelivery
from tes_service.processes import Spawner
from tes_service.remote_files import RemoteFiles
from tes_service.runners.choose import AvailableRunners, RunnerFinder
from tes_service.scheduler import MachineCapacity, TaskScheduler
from tes_service.service import TaskService, service_info
from tes_service.settings import TesSettings
from tes_service.stage_cache import StageCache
from tes_service.store import TaskDatabase
from tes_service.store_transfer import StoreTransfer
from tes_service.task_attempt import AttemptContext
from tes_service.transfers import TransferPolicy

OPEN_FILES = 65536
MEMORY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class TesApplication:
    """`asgi` answers requests once `start` was called; `close` ends everything that runs."""

    asgi: ASGIApp
    scheduler: TaskScheduler
    store: TaskDatabase
    spawner: Spawner
    runner: str
    lock: IO[bytes]

    def start(self) -> None:
        """Takes up the tasks of an earlier server, and starts those that wait."""
        self.scheduler.start()

    def close(self) -> None:
        """Ends all tasks, then lets go of database and data folder."""
        self.scheduler.close()
        self.spawner.close()
        self.store.close()
        self.lock.close()


def build(settings: TesSettings, runners: AvailableRunners | None = None) -> TesApplication:
    """`SettingsError` where it can't work as it is set. `runners` takes the place of those that would be found."""
    token = read_token(settings.token_file)
    identity = foreign_identity(settings.sandbox_uid)
    _prepare_data(settings, identity)
    lock = _lock(settings.data)
    _raise_file_limit()
    spawner = Spawner()
    server = _own_id(settings.data / "id")
    runners = runners or RunnerFinder(settings=settings, identity=identity, spawner=spawner, server=server).find()
    allowed = allowed_folders(settings.allow, settings.allow_data, settings.runs)
    stores = ObjectStores(settings.all_stores())
    stores.check()
    remote = remote_files(settings, stores)
    cache = StageCache(remote, settings.cache_folder, identity, lambda: cache_limit(settings))
    context = AttemptContext(
        staging=StagingContext(allowed=allowed, identity=identity, fetcher=cache),
        delivery=OutputDelivery(allowed=allowed, identity=identity, storage=remote),
        runners=runners,
        limits=limits(settings),
        watch=ResourceMonitor(
            settings.tasks_folder, round(settings.min_free_gb * GB), total_memory=psutil.virtual_memory().total
        ),
    )
    store = TaskDatabase(settings.database)
    scheduler = TaskScheduler(
        store, context, machine(settings), settings.tasks_folder, timedelta(days=settings.keep_days)
    )
    service = TaskService(
        store=store,
        scheduler=scheduler,
        allowed=allowed,
        stores=stores,
        info=service_info(settings, runners.first, stores),
    )
    return TesApplication(
        asgi=application(service, token, settings.max_task_bytes, _browsers(settings, token=token is not None)),
        scheduler=scheduler,
        store=store,
        spawner=spawner,
        runner=runners.first.name,
        lock=lock,
    )


def remote_files(settings: TesSettings, stores: ObjectStores) -> RemoteFiles:
    """How each kind of URL is reached. The same hosts may be asked over http and ftp."""
    policy = network_policy(settings.fetch_allow, setting="TES_FETCH_ALLOW")
    web, objects = dict.fromkeys(WEB, HttpTransfer(policy=policy)), dict.fromkeys(STORES, StoreTransfer(stores=stores))
    return RemoteFiles(
        limit=settings.max_input_bytes,
        spare_disk=round(settings.min_free_gb * GB),
        policy=TransferPolicy(retries=settings.fetch_retries, seconds=settings.fetch_seconds),
        sources={**web, **objects, "ftp": FtpSource(policy=policy)},
        targets={**web, **objects},
        folders=objects,
    )


def cache_limit(settings: TesSettings) -> int:
    """Bytes that may be kept of inputs, as much as there is room for now."""
    return round(min(settings.cache_gb * GB, shutil.disk_usage(settings.data).free / 4))


def _browsers(settings: TesSettings, *, token: bool) -> BrowserPolicy | None:
    """None on a Unix socket, to which no browser connects."""
    if settings.uds is not None:
        return None
    return browsers.policy(token=token, origins=(), host=settings.host, public_url="")


def limits(settings: TesSettings) -> TaskLimits:
    """A task that asks for no memory may have most of the machine's, so that there is some for what ends it."""
    return TaskLimits(
        memory_bytes=round(
            (settings.memory_gb * GB) if settings.memory_gb else psutil.virtual_memory().total * MEMORY_SHARE
        ),
        processes=settings.processes,
        log_bytes=round(settings.log_gb * GB),
        log_folder=settings.log_folder,
    )


def machine(settings: TesSettings) -> MachineCapacity:
    """All that this machine has, but where the settings say less."""

    def free_disk() -> float:
        return settings.disk_gb or shutil.disk_usage(settings.data).free / GB

    capacity = Capacity(
        cpus=settings.cpus or len(os.sched_getaffinity(0)),
        memory=settings.memory_gb or psutil.virtual_memory().total / GB,
        disk=settings.disk_gb or shutil.disk_usage(settings.data).total / GB,
    )
    return MachineCapacity(capacity=capacity, free_disk=free_disk)


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
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

"""Composition of a worker process: the main thread waits for its end; supervisor, gateway and Celery run in threads."""

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from common.configuration import tes_choices
from common.engine import Installation
from common.errors import SettingsError, SystemFailure
from common.logs import configure_logs
from common.object_store import ObjectStores
from common.settings import GB
from engines.install import ensure_current
from engines.registry import engine_named, installations
from gateway.http_api import BASE
from gateway.run_objects import StoredRuns
from gateway.server import Gateway, remove_abandoned_folders, remove_socket_folder
from sandbox.bubblewrap import SandboxProbe, probe, require_sandbox, write_sandbox_files
from sandbox.egress import EgressProxy
from sandbox.identity import can_reach, foreign_identity
from sandbox.limits import ResourceLimits
from sandbox.network import NetworkPolicy, chosen_policy, network_policy
from wes_service.core.liveness import DRAIN_SIGNAL, worker_id_prefix
from wes_service.core.ports import WorkerInfo
from wes_service.fetch.process import ProcessFetcher
from wes_service.fetch.web import FetchLimits
from wes_service.notifications.mail import MailSender
from wes_service.notifications.webhook import RunHooks, WebhookSender
from wes_service.queue.celery_queue import CeleryQueue
from wes_service.services.deletion import FolderCleanup
from wes_service.services.notifications import NotificationDelivery
from wes_service.services.retention import WorkFolderCleanup
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders
from wes_service.store.database import SystemClock, open_database, upgrade
from workers.background import BackgroundTasks
from workers.launcher import INSIDE_PORT, Launcher
from workers.metrics import WorkerMetrics, serve_metrics
from workers.run.attempt import RunDependencies
from workers.run.collect import OutputLimits
from workers.run.prepare import EngineSettings
from workers.run.supervisor import RunSupervisor, SupervisorPolicy

log = structlog.get_logger(__name__)

DRAIN_LOOK_SECONDS = 0.5


class Worker:
    """All parts of a worker, made from its settings; raises `SettingsError` in words."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.id = worker_id_prefix(socket.gethostname(), os.getpid()) + secrets.token_hex(3)
        self.identity = foreign_identity(settings.sandbox_uid)
        self.probe = probe(self.identity)
        _check(settings, self.probe)
        network_policy(settings.fetch_allow)
        _webhook_network(settings)
        for hook in settings.hooks.values():
            hook.keys()
        if settings.smtp is not None:
            settings.smtp.check_secret()
        for server in settings.tes_servers:
            server.check_secrets()
        ObjectStores(settings.stores).check()
        settings.data.mkdir(parents=True, exist_ok=True)
        if not can_reach(self.identity, settings.data):
            raise SettingsError(
                f"uid {self.identity.uid}, which workflows run as, can't enter {settings.data}: "
                "choose another --data, or 'chmod o+x' each folder above it"
            )
        # The API does it too, but a worker may be the first.
        upgrade(settings.database)
        self.database = open_database(settings.database)
        self.queue = CeleryQueue(settings.redis_url)
        self.folders = RunFolders(settings.runs_folder, self.identity)
        self.gateway = Gateway(
            settings,
            self.database.tasks,
            SystemClock(),
            settings.data / "gateway" / self.id,
            on_tcp=not self.probe.works,
        )
        self.egress = self._egress_proxy()
        self.launcher = Launcher(
            self.identity,
            self.probe,
            # The data folder may be shared with other machines, whose /etc differs.
            write_sandbox_files(settings.data / f"sandbox-{socket.gethostname()}"),
            self.gateway.folder,
            ResourceLimits(
                memory_bytes=round(settings.engine_memory_gb * GB),
                processes=settings.engine_processes,
                disk_bytes=None if settings.run_disk_gb is None else round(settings.run_disk_gb * GB),
                log_bytes=round(settings.engine_log_gb * GB),
            ),
            # Less than where runs are not started any more, and less than where the TES beside it ends steps.
            spare_disk=round(settings.min_free_gb * GB / 2),
            egress=self.egress,
        )

        self._stop_metrics: Callable[[], None] = _nothing

    def start(self) -> None:
        """Starts gateway, supervisor and Celery."""
        for item in self._installed():
            try:
                ensure_current(item)
            except SystemFailure as error:
                log.warning(str(error), action="engine_old", engine=item.engine)
        remove_abandoned_folders(self.gateway.folder.parent, socket.gethostname())
        self.gateway.start()
        if self.egress:
            self.egress.start()
        policy = SupervisorPolicy(
            slots=self._settings.slots,
            lease_seconds=self._settings.lease_seconds,
            owner_slots=self._settings.owner_slots,
        )
        self.supervisor = RunSupervisor(self._dependencies(), self.database.workers, self.describe, policy)
        if self._settings.metrics_port:
            numbers = WorkerMetrics(self.supervisor, self.gateway.open_tasks)
            where = (self._settings.metrics_host, self._settings.metrics_port)
            self._stop_metrics = serve_metrics(self.gateway.metrics, numbers, *where)
        self.supervisor.start()
        storages = StoredRuns(stores=ObjectStores(self._settings.stores), storages=self._settings.storages)
        cleanup = FolderCleanup(tombstones=self.database.tombstones, folders=self.folders, storages=storages)
        retention = WorkFolderCleanup(
            runs=self.database.retention,
            folders=self.folders,
            storages=storages,
            clock=SystemClock(),
            keep=self._settings.keep_work,
        )
        delivery = self._notification_delivery()
        self.background = BackgroundTasks(self._settings.redis_url, cleanup, retention, delivery, self.supervisor.poke)
        self.background.start()

    def stop(self) -> None:
        """Ends what runs (for at most `STOP_SECONDS` of the supervisor), signs off and closes everything."""
        self.background.stop()
        self._stop_metrics()
        self.supervisor.stop()
        self.gateway.stop()
        self.queue.close()
        self.launcher.close()
        if self.egress:
            self.egress.stop()
        remove_socket_folder(self.gateway.folder)
        self.database.close()

    def _egress_proxy(self) -> EgressProxy | None:
        policy = chosen_policy(self._settings.engine_network, "WES_ENGINE_NETWORK")
        if policy is None:
            return None
        return EgressProxy(self.gateway.folder, policy, {0, os.geteuid(), self.identity.uid})

    def describe(self) -> WorkerInfo:
        """What this worker can do at this moment: an engine installed meanwhile is there at once."""
        engines: dict[str, tuple[str, ...]] = {}
        for item in self._installed():
            engines[item.engine] = (*engines.get(item.engine, ()), item.version)
        sandbox = "bubblewrap" if self.probe.works else f"none: {self.probe.problem}"
        return WorkerInfo(id=self.id, host=socket.gethostname(), engines=engines, sandbox=sandbox)

    def _installed(self) -> Sequence[Installation]:
        return installations(self._settings.engines_folder)

    def _fetcher(self) -> ProcessFetcher:
        settings = self._settings
        limits = FetchLimits(
            allow=settings.fetch_allow,
            seconds=settings.fetch_seconds,
            idle_seconds=settings.fetch_idle_seconds,
            document_bytes=settings.max_document_bytes,
            workflow_bytes=settings.max_workflow_bytes,
            workflow_files=settings.max_workflow_files,
        )
        return ProcessFetcher(limits=limits, identity=self.identity, ca_file=settings.fetch_ca_file)

    def _dependencies(self) -> RunDependencies:
        settings = self._settings
        port = INSIDE_PORT if self.probe.works else self.gateway.tcp_port
        engine_settings = EngineSettings(
            tes_url=f"http://127.0.0.1:{port}{BASE}",
            default_image=settings.default_image,
            engine_defaults=settings.engine_defaults,
            step_limits=settings.step_limits,
            allowed_data=tuple(Path(path).resolve() for path in settings.allow_data),
        )
        return RunDependencies(
            runs=self.database.runs,
            tasks=self.database.tasks,
            folders=self.folders,
            gateway=self.gateway,
            launcher=self.launcher,
            identity=self.identity,
            clock=SystemClock(),
            engine_named=engine_named,
            installed=self._installed,
            engine_settings=engine_settings,
            fetcher=self._fetcher(),
            min_free_gb=settings.min_free_gb,
            max_run_time=settings.max_run_time,
            reuse=settings.reuse,
            output_limits=OutputLimits(
                entries=settings.max_output_files, total_bytes=round(settings.max_output_gb * GB)
            ),
            closing_seconds=settings.tes_patience_seconds + 60,
            tes_choices=tes_choices(settings.tes_servers),
            run_ended=self.queue.deliver_notifications,
        )

    def _notification_delivery(self) -> NotificationDelivery:
        settings = self._settings
        own = RunHooks(
            secret_file=settings.webhook_secret_file,
            network=_webhook_network(settings),
            ca_file=settings.fetch_ca_file,
        )
        return NotificationDelivery(
            store=self.database.notifications,
            hooks=settings.hooks,
            sender=MailSender(
                hooks=settings.hooks, smtp=settings.smtp, others=WebhookSender(hooks=settings.hooks, own=own)
            ),
            clock=SystemClock(),
            public_url=settings.public_url,
        )


def _webhook_network(settings: Settings) -> NetworkPolicy:
    return network_policy(settings.webhook_allow, setting="WES_WEBHOOK_ALLOW")


def _nothing() -> None:
    """There is nothing to stop."""


def _check(settings: Settings, found: SandboxProbe) -> None:
    require_sandbox(found, unsandboxed=settings.unsandboxed, on_loopback=settings.on_loopback)
    if not found.works:
        log.warning("WORKFLOWS RUN WITHOUT A SANDBOX", action="sandbox", problem=found.problem, fix=found.fix)


class StopSignals:
    """What the operator wants: SIGTERM and SIGINT hand the runs over, SIGUSR1 waits for them. With `drain` the first of
    the former waits for them, too."""

    def __init__(self, *, drain: bool) -> None:
        self.hand_over = threading.Event()
        self.drain = threading.Event()
        self._waits = drain
        for number in (signal.SIGTERM, signal.SIGINT, DRAIN_SIGNAL):
            signal.signal(number, lambda number, _: self._heard(number))

    def _heard(self, number: int) -> None:
        if number == DRAIN_SIGNAL or (self._waits and not self.drain.is_set()):
            self.drain.set()
        else:
            self.hand_over.set()

    def wait(self, supervisor: RunSupervisor) -> None:
        """Returns when the worker is to stop now."""
        while not (self.hand_over.wait(DRAIN_LOOK_SECONDS) or supervisor.is_drained):
            if self.drain.is_set() and not supervisor.draining:
                log.info("takes no more runs, and ends with those it has", action="drain", runs=supervisor.used)
                supervisor.drain()


def run_worker(settings: Settings, *, drain: bool = False) -> int:
    """Runs until a signal; the exit code. `drain` as in `StopSignals`."""
    configure_logs(settings.log_level)
    signals = StopSignals(drain=drain)
    worker = Worker(settings)
    worker.start()
    log.info("ready", action="worker_ready", worker=worker.id, threads=threading.active_count())
    signals.wait(worker.supervisor)
    worker.stop()
    if worker.background.is_busy or worker.gateway.is_moving_files:
        # Python would wait for the task, or the file; the next worker removes the folder, or moves the file.
        sys.stderr.flush()
        os._exit(0)
    return 0

"""`wes up` at work: its programs are started, watched, started again where they die, and ended in order."""

import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import httpx

from common.configuration import TesServer
from common.errors import DiskFull, SettingsError, WesError
from common.masking import bare_url
from common.settings import read_token
from sandbox.bubblewrap import SandboxProbe, probe, require_sandbox
from sandbox.identity import can_reach, foreign_identity
from tes.http import tes_client
from wes_cli import programs
from wes_cli.forked import load_programs
from wes_cli.programs import Child, ChildSpec
from wes_cli.redis_server import find_redis, redis_argv, socket_path
from wes_service.core.liveness import DRAIN_SIGNAL, worker_id_prefix
from wes_service.settings import Settings
from wes_service.storage.run_folders import check_disk
from wes_service.store.adoption import unowned_runs_warning
from wes_service.store.database import Database, open_database, upgrade

STARTS_WITHIN = 180.0
POLL_SECONDS = 0.2
DISK_CHECK_SECONDS = 5.0
FOLDERS = {"logs": 0o755, "secrets": 0o700, "redis": 0o700, "tes": 0o711, "runs": 0o711}


class Stack:
    """All of `wes up`; `report` prints a line for the operator. Raises `SettingsError` in words."""

    def __init__(self, settings: Settings, report: Callable[[str], None], *, drain: bool = False) -> None:
        self._settings = settings
        self._report = report
        self._children: list[Child] = []
        self._worker: Child | None = None
        self._stop = False
        self._drain = False
        self._is_draining = False
        self._drain_first = drain
        self._has_room = True

    def run(self) -> int:
        """Until SIGINT, SIGTERM or SIGHUP, or SIGUSR1 and the end of all that runs; the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, DRAIN_SIGNAL):
            signal.signal(number, lambda number, _: self._request_stop(number))
        make_folders(self._settings)
        with data_lock(self._settings.data) as lock:
            check_port(self._settings)
            try:
                self._start_all()
                record_url(lock, self._local_url())
                return self._keep()
            finally:
                self._end_all()

    def _request_stop(self, number: int) -> None:
        if number == DRAIN_SIGNAL or (self._drain_first and not self._drain):
            self._drain = True
        else:
            self._stop = True

    def _start_all(self) -> None:
        settings = self._settings
        self._report(f"data    {settings.data}")
        found = probe(foreign_identity(settings.sandbox_uid))
        require_sandbox(found, unsandboxed=settings.unsandboxed, on_loopback=settings.on_loopback)
        self._warn_without_sandbox(found)
        load_programs()
        upgrade(settings.database)
        environment = programs.shared_environment(settings, sandboxed=found.works)
        if not settings.redis_url:
            environment["WES_REDIS_URL"] = self._start_redis()
        tes = self._embedded_tes() if _wants_embedded_tes(settings) else None
        for server in settings.tes_servers:
            server.check_secrets()
        if tes is not None:
            if not settings.tes_servers:
                environment |= {"WES_TES_URLS": tes.url, "WES_TES_TOKEN_FILE": str(tes.token_file)}
            program = self._start(programs.tes_program(settings, tes, sandboxed=found.works))
        # The worker starts while the TES does: it waits for it with patience anyway.
        self._start_worker(environment)
        if tes is not None:
            self._wait(program, lambda: answers_service_info(tes.url, tes.token_file))
        names = ", ".join(f"{server.name} ({_place(server)})" for server in settings.tes_servers)
        self._report(f"tes     {names or f'embedded, on {tes and tes.socket}'}")
        self._report_unowned_runs()
        # Last, as service-info answers only when all is ready.
        self._wait(self._start(programs.api_program(environment)), self._api_answers)
        self._report(f"ready   {self._local_url()}/ga4gh/wes/v1/service-info")
        self._report("        wes run WORKFLOW --params FILE   submits one; Ctrl-C stops everything")

    def _warn_without_sandbox(self, found: SandboxProbe) -> None:
        if found.works:
            return
        self._report(f"WARNING {found.problem}: workflows run WITHOUT A SANDBOX, with all rights of this user.")
        self._report(f"WARNING To have the sandbox: {found.fix}")

    def _start_redis(self) -> str:
        folder = self._settings.data / "redis"
        socket_file = socket_path(folder)
        socket_file.unlink(missing_ok=True)
        server = find_redis(folder, self._report)
        argv = redis_argv(server, socket_file)
        self._wait(
            self._start(ChildSpec(name="redis", argv=argv, environment={"PATH": os.defpath})), socket_file.exists
        )
        self._report(f"redis   {server} on {socket_file}")
        return f"redis+socket://{socket_file}"

    def _embedded_tes(self) -> programs.EmbeddedTes:
        """Tasks that are stored with another URL of it are asked for at the one that it has now."""
        data = self._settings.data
        tes, before = programs.embedded_tes(data), programs.previous_tes_url(data)
        if before is not None and before != tes.url:
            database = open_database(self._settings.database)
            try:
                database.tasks.rename_tes(before, tes.url)
            finally:
                database.close()
        programs.record_tes_url(data, tes)
        return tes

    def _start_worker(self, environment: dict[str, str]) -> None:
        with closing(open_database(self._settings.database)) as database:
            before = _workers(database)
        # Forked while no database, which has a thread, is open.
        worker = self._worker = self._start(programs.worker_program(environment))
        with closing(open_database(self._settings.database)) as database:
            self._wait(worker, lambda: bool(_workers(database).keys() - before.keys()))
            mine = [names for worker_id, names in _workers(database).items() if worker_id not in before]
        names = ", ".join(sorted({name for each in mine for name in each}))
        self._report(f"engines {names or 'none yet: wes engines install cwl'}")

    def _report_unowned_runs(self) -> None:
        if read_token(self._settings.token_file):
            with closing(open_database(self._settings.database)) as database:
                if problem := unowned_runs_warning(database.transactions):
                    self._report(f"runs    {problem}")

    def _start(self, spec: ChildSpec) -> Child:
        child = Child(spec=spec, log=self._settings.data / "logs" / f"{spec.name}.log", fork=True)
        child.start()
        self._children.append(child)
        return child

    def _wait(self, child: Child, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready():
            if self._stop or self._drain:
                raise SettingsError("stopped before all was started")
            if not child.alive or time.monotonic() > deadline:
                why = f"{child.spec.name} did not start:\n{child.last_lines()}\nThe whole log is {child.log}"
                raise SettingsError(why)
            time.sleep(0.05)

    def _api_answers(self) -> bool:
        return answers_service_info(f"{self._local_url()}/ga4gh/wes/v1", None)

    def _local_url(self) -> str:
        host = "127.0.0.1" if self._settings.host in {"0.0.0.0", "::"} else self._settings.host
        return f"http://[{host}]:{self._settings.port}" if ":" in host else f"http://{host}:{self._settings.port}"

    def _keep(self) -> int:
        looked = -DISK_CHECK_SECONDS
        while not self._stop:
            if self._drain and self._drained():
                return 0
            if time.monotonic() - looked >= DISK_CHECK_SECONDS:
                self._check_disk()
                looked = time.monotonic()
            for child in self._children:
                if notice := child.note_death():
                    self._report(notice)
                if child.crash_looping:
                    self._report(f"{child.spec.name} does not stay up; the end of its log:\n{child.last_lines()}")
                    return 1
                if child.restart_if_due():
                    self._report(f"{child.spec.name} is started again")
            time.sleep(POLL_SECONDS)
        return 0

    def _drained(self) -> bool:
        """Tells the worker, once, to begin no more runs; whether it has ended with its last one."""
        if self._worker is None or not self._worker.alive:
            return True
        if not self._is_draining:
            self._is_draining = True
            self._report("draining: no run is begun any more; told to stop again, this hands over those that run")
            self._worker.send(DRAIN_SIGNAL)
        return False

    def _check_disk(self) -> None:
        """Says it when the disk gets too full for runs to start, and when there is room again."""
        before, problem = self._has_room, "there is room for runs again"
        try:
            check_disk(self._settings.data, self._settings.min_free_gb)
            self._has_room = True
        except DiskFull as full:
            self._has_room, problem = False, str(full)
        if self._has_room is not before:
            self._report(f"disk    {problem}")

    def _end_all(self) -> None:
        if self._children:
            self._report("stopping …")
        for child in reversed(self._children):
            child.stop()
        shutil.rmtree(self._settings.data / "gateway", ignore_errors=True)
        if self._children:
            self._report_handed_over()

    def _report_handed_over(self) -> None:
        """Says what becomes of runs that were going: those of workers that have signed off, and of this one's own, that
        on a busy machine may not have come to that."""
        pids = [child.process.pid for child in self._children if child.process is not None]
        own = tuple(worker_id_prefix(socket.gethostname(), pid) for pid in pids)
        try:
            with closing(open_database(self._settings.database)) as database:
                holders = database.runs.holders().items()
                left = [worker for worker, beats in holders if beats is None or worker.startswith(own)]
                count = sum(len(database.runs.held(worker)) for worker in left)
        except WesError:
            return
        if count:
            runs = "1 run goes" if count == 1 else f"{count} runs go"
            self._report(f"runs    {runs} on at the next 'wes up': what is done stays done")


def _wants_embedded_tes(settings: Settings) -> bool:
    """Where no TES is named, and where one of those that are is it."""
    return not settings.tes_servers or any(server.is_embedded for server in settings.tes_servers)


def _place(server: TesServer) -> str:
    return "embedded" if server.is_embedded else bare_url(server.url)


def make_folders(settings: Settings) -> None:
    """The data folder, which the user that workflows run as can enter; `SettingsError` where that can't be."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            settings.data.chmod(settings.data.stat().st_mode | 0o711)
        for name, mode in FOLDERS.items():
            folder = settings.data / name
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
    except OSError as error:
        raise SettingsError(f"the data folder {settings.data} can't be used: {error.strerror}") from None
    identity = foreign_identity(settings.sandbox_uid)
    if not can_reach(identity, settings.data):
        raise SettingsError(
            f"uid {identity.uid}, which workflows run as, can't enter {settings.data}: choose another --data "
            "(as root e.g. /var/lib/wes-tes), or 'chmod o+x' each folder above it"
        )


@contextmanager
def data_lock(data: Path) -> Iterator[IO[str]]:
    """Holds the data folder; `SettingsError` where another `wes up` does. Its URL is in the lock file."""
    lock = (data / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SettingsError(f"another 'wes up' uses {data}: stop it, or choose another folder with --data") from None
    with lock:
        # What an earlier one noted may be another service's address by now.
        lock.truncate(0)
        yield lock


def record_url(lock: IO[str], url: str) -> None:
    """Writes into the lock file where the service answers, for `wes demo`."""
    lock.truncate(0)
    lock.write(url)
    lock.flush()


def check_port(settings: Settings) -> None:
    """`SettingsError` where another program listens there."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            problem = f"{settings.host}:{settings.port} can't be listened on ({error.strerror}): choose another --port"
            raise SettingsError(problem) from None


def answers_service_info(url: str, token_file: Path | None) -> bool:
    """Whether the WES or TES with this base URL gives its service-info."""
    token = read_token(token_file)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with tes_client(url, 5.0) as client:
            return client.get("/service-info", headers=headers).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _workers(database: Database) -> dict[str, list[str]]:
    """Workers by id, with their engines and versions."""
    return {
        worker.id: [f"{name} {version}" for name, versions in worker.engines.items() for version in versions]
        for worker in database.workers.alive(3600)
    }

"""What is put through chaos: `wes up` on one machine, or APIs and workers on PostgreSQL; how programs of it are killed,
and started again as an init system does it."""

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

import psutil
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tests.acceptance.replicas import Cluster, Replica, redis_program
from tests.acceptance.stack import Wes
from tests.engine_fixtures import engines_folder
from tests.postgres_fixture import Postgres, parted
from wes_service.core.liveness import MOST_LOSSES
from workers.run.attempt import MOST_STARTS

EVERYTHING = "everything"
LOSE_WORKERS = frozenset({"worker", EVERYTHING})
LOSE_THE_TES = frozenset({"tes", EVERYTHING})
LOSSES_OF_A_TASK = 3
"""As often as the embedded TES begins a task."""
MOUNTED = re.compile(r"/runs/([^/]+)/attachments$")
SETTINGS = {"WES_LEASE_SECONDS": "6", "WES_POLL_SECONDS": "1"}
SLOTS = 6
GONE_WITHIN = 30.0


class Site(Protocol):
    """An installation; `wes` are its APIs, `kinds` is what of it can be killed."""

    @property
    def data(self) -> Path: ...
    @property
    def database_url(self) -> str: ...
    @property
    def kinds(self) -> Sequence[str]: ...
    @property
    def wes(self) -> Sequence[Wes]: ...

    def start(self) -> None:
        """Returns when it is ready."""

    def keep(self) -> None:
        """Starts again what has ended, and does not wait for it."""

    def kill(self, kind: str, random: Random) -> bool:
        """`kill -9`; False where nothing of this kind runs at the moment."""

    def stop(self) -> None:
        """Ends all of it in order."""


class OneMachine:
    """`wes up` with SQLite, which starts again what it has started; it is itself started again from outside."""

    kinds = ("api", "worker", "engine", "redis", "tes", EVERYTHING)

    def __init__(self, data: Path) -> None:
        self.data = data
        self.database_url = f"sqlite:///{data / 'wes.sqlite'}"
        self._engines = EngineKiller()
        environment = {**SETTINGS, "WES_SLOTS": str(SLOTS), "TMPDIR": str(temporary_folder(data))}
        self._wes = Wes(data=data, engines=engines_folder(), environment=environment)

    @property
    def wes(self) -> Sequence[Wes]:
        return [self._wes]

    def start(self) -> None:
        self._wes.start()

    def keep(self) -> None:
        if not self._wes.is_running:
            self._wes.launch()

    def kill(self, kind: str, random: Random) -> bool:
        if not self._wes.is_running:
            return False
        try:
            if kind == EVERYTHING:
                kill_at_once(self._wes.tree())
            elif kind == "engine":
                return self._engines.kill_one([self._wes.child("worker")], random)
            elif kind == "redis":
                next(process for process in self._wes.tree() if "redis" in process.name()).kill()
            else:
                self._wes.child(kind).kill()
        except (psutil.NoSuchProcess, StopIteration):
            return False
        return True

    def stop(self) -> None:
        self.keep()
        self._wes.wait_until_ready()
        self._wes.stop()

    def end(self) -> None:
        """Whatever has happened."""
        if self._wes.is_running:
            kill_at_once(self._wes.tree())


class Replicas:
    """Two APIs, two workers, the embedded TES and a Redis, each a service of its own, on one PostgreSQL."""

    kinds = ("api", "worker", "engine", "redis", "tes", "database", EVERYTHING)

    def __init__(self, data: Path, database_url: str) -> None:
        self.data = data
        self.database_url = database_url
        self._engines = EngineKiller()
        bare, password = parted(database_url)
        self._redis, redis_url = redis_program(data)
        self._cluster = Cluster(
            data=data,
            database_url=bare,
            password=password,
            redis_url=redis_url,
            slots=SLOTS // 2,
            environment={**SETTINGS, "TMPDIR": str(temporary_folder(data))},
        )

    @property
    def wes(self) -> Sequence[Wes]:
        return [api.wes for api in self._cluster.apis]

    def start(self) -> None:
        self._redis.start()
        self._cluster.start_tes()
        for _ in range(2):
            self._cluster.add_api()
        for _ in range(2):
            self._cluster.add_worker()
        for api in self._cluster.apis:
            api.wait_until_ready()

    def keep(self) -> None:
        for program in self._programs():
            if not program.child.alive:
                program.child.start()

    def kill(self, kind: str, random: Random) -> bool:
        if kind == "database":
            return self._cut_connections()
        if kind == "engine":
            workers = [worker.child.process.pid for worker in self._cluster.workers if worker.child.process]
            return self._engines.kill_one([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], random)
        victims = [one for one in self._programs() if one.child.alive and kind in {one.child.spec.name, EVERYTHING}]
        if not victims:
            return False
        processes = [one.child.process.pid for one in victims if one.child.process]
        chosen = processes if kind == EVERYTHING else [random.choice(processes)]
        kill_at_once([each for pid in chosen for each in _tree(pid, whole=kind == EVERYTHING)])
        return True

    def stop(self) -> None:
        self._cluster.stop()
        self._redis.stop()

    end = stop

    def _programs(self) -> list[Replica]:
        return [self._redis, *self._cluster.programs()]

    def _cut_connections(self) -> bool:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        with closing_engine(self.database_url) as engine, engine.connect() as connection:
            return bool(connection.execute(text(f"{query}pg_backend_pid()")).all())


class EngineKiller:
    """Kills any process of an engine's sandbox; the engine of one run as often as it is started again, and no more."""

    def __init__(self) -> None:
        self._killed: Counter[str] = Counter()

    def kill_one(self, workers: Sequence[psutil.Process], random: Random) -> bool:
        sandboxes = dict(found for worker in workers for child in worker.children() if (found := _run_of(child)))
        runs = sorted(run_id for run_id in sandboxes if self._killed[run_id] < MOST_STARTS - 1)
        if not runs:
            return False
        run_id = random.choice(runs)
        processes = [sandboxes[run_id], *sandboxes[run_id].children(recursive=True)]
        random.choice(processes).kill()
        self._killed[run_id] += 1
        return True


def _run_of(process: psutil.Process) -> tuple[str, psutil.Process] | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return next(((found[1], process) for word in process.cmdline() if (found := MOUNTED.search(word))), None)
    return None


def _tree(pid: int, *, whole: bool) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *(root.children(recursive=True) if whole else [])]
    return []


def kill_at_once(processes: Sequence[psutil.Process]) -> None:
    """As a machine that goes down: all of them, and none is left when this returns."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(processes, timeout=GONE_WITHIN)
    assert not alive, f"not gone {GONE_WITHIN:g} s after kill -9: {alive}"


def spared(site: Site, kind: str) -> bool:
    """Whether this kill would be the one by which, as decided, a run or a task is given up that ended its worker or its
    TES so often: a loss more would be no defect. Also while that can't be asked."""
    try:
        losses = _most_losses(site.database_url) if kind in LOSE_WORKERS else 0
        attempts = _most_attempts(site.data) if kind in LOSE_THE_TES else 0
    except (sqlite3.Error, SQLAlchemyError):
        return True
    return losses >= MOST_LOSSES - 1 or attempts >= LOSSES_OF_A_TASK - 1


def _most_losses(database_url: str) -> int:
    query = text("SELECT coalesce(max(losses), 0) FROM runs WHERE ended IS NULL")
    with closing_engine(database_url) as engine, engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _most_attempts(data: Path) -> int:
    query = "SELECT coalesce(max(json_array_length(earlier)), 0) FROM tasks WHERE ended IS NULL"
    with closing(sqlite3.connect(f"file:{data / 'tes' / 'tes.sqlite'}?mode=ro", uri=True)) as database:
        return int(database.execute(query).fetchone()[0])


@contextmanager
def closing_engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def temporary_folder(data: Path) -> Path:
    """What programs of the site make in TMPDIR is found here; short, as sockets lie in it."""
    folder = data.parent / f"{data.name}.tmp"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def site(data: Path, postgres: Postgres | None) -> Iterator[Site]:
    """`wes up` with SQLite, or several programs on a PostgreSQL; nothing of it runs after the block."""
    with contextlib.ExitStack() as stack:
        made = OneMachine(data) if postgres is None else Replicas(data, stack.enter_context(postgres.database()))
        stack.callback(made.end)
        yield made

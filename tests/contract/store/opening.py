"""Every implementation of the stores, opened empty: in memory, SQLite, and PostgreSQL.

PostgreSQL takes part where `WES_TEST_POSTGRES_URL` names a server on which this user may make databases.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.contract.store.stores import Stores
from tests.fakes.stores import FakeStores
from wes_service.core.ports import Clock
from wes_service.store.database import open_database, upgrade

POSTGRES = os.environ.get("WES_TEST_POSTGRES_URL", "")
DATABASES = ("sqlite", "postgresql") if POSTGRES else ("sqlite",)
KINDS = ("fake", *DATABASES)


@contextmanager
def empty_stores(kind: str, folder: Path, clock: Clock) -> Iterator[Stores]:
    if kind == "fake":
        yield FakeStores(clock)
        return
    with empty_database(kind, folder) as url:
        upgrade(url)
        database = open_database(url, clock)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'wes.sqlite'}"
        return
    name = f"test_{uuid.uuid4().hex}"
    _on_server(f"CREATE DATABASE {name}")
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def _on_server(statement: str) -> None:
    engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()

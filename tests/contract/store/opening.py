"""A database of each kind for one test: a SQLite file, or a new database on the session's PostgreSQL."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.postgres_fixture import Postgres

DATABASES = ("sqlite", "postgresql")
KINDS = ("fake", *DATABASES)


@contextmanager
def new_database(request: pytest.FixtureRequest, kind: str, folder: Path, *, ready: bool = False) -> Iterator[str]:
    """Its URL; without tables, or as the newest migration leaves it. The server is started where it is wanted only."""
    if kind == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        with server.database(ready=ready) as url:
            yield url
        return
    file = folder / "wes.sqlite"
    if ready:
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
    yield f"sqlite:///{file}"

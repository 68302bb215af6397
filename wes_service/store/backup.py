"""Copies of the database that is in use: by SQLite's own online backup, or by PostgreSQL's own programs."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from common.errors import SettingsError
from wes_service.store.database import upgrade
from wes_service.store.dialect import is_sqlite, parse_url
from wes_service.store.migration import database_status


def backup(url: str, file: Path) -> None:
    """Writes the database as it is at one moment to a new `file` that only this user can read; nobody has to wait.

    `SettingsError` where that can't be.
    """
    parsed = parse_url(url)
    if database_status(url).current is None:
        raise SettingsError("there is no database to back up yet")
    with _new(file) as partial:
        if is_sqlite(parsed):
            _copy(Path(parsed.database or ""), partial)
        else:
            _run(parsed, "pg_dump", "--format=custom", f"--file={partial}")


def restore(url: str, file: Path) -> None:
    """Makes the database from a `file` of `backup`, and brings it up to date.

    `SettingsError` where there is a database already, or the file is none of this kind.
    """
    parsed = parse_url(url)
    if not file.is_file():
        raise SettingsError(f"there is no file {file}")
    seen = database_status(url)
    if seen.current is not None:
        raise SettingsError(f"there is a database already ({seen.server}): move it away, or name a new one")
    if is_sqlite(parsed):
        _restore_file(file, Path(parsed.database or ""))
    else:
        _run(
            parsed, "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(file)
        )
    upgrade(url)


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as here,
        contextlib.closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)
        # One file that is whole by itself.
        there.execute("PRAGMA journal_mode = DELETE")


def _restore_file(file: Path, target: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copied:
            (verdict,) = copied.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError:
        verdict = "it is no SQLite database"
    if verdict != "ok":
        raise SettingsError(f"{file} can't be restored: {verdict}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _new(target) as partial:
        shutil.copyfile(file, partial)


@contextlib.contextmanager
def _new(file: Path) -> Iterator[Path]:
    """A file that is there only once it is whole, and durable by then."""
    if file.exists():
        raise SettingsError(f"{file} is there already")
    partial = file.with_name(f".{file.name}.part")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        yield partial
        with partial.open("rb") as whole:
            os.fsync(whole.fileno())
        partial.rename(file)
    except OSError as error:
        raise SettingsError(f"{file} can't be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _run(url: URL, program: str, *options: str) -> None:
    """The password goes by the environment, which only this user can see."""
    argv = [program, "--no-password", f"--dbname={url.database}", *options]
    try:
        ran = subprocess.run(argv, env={**os.environ, **_connection(url)}, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SettingsError(
            f"{program} is not installed: on Debian and Ubuntu 'apt-get install postgresql-client'"
        ) from None
    if ran.returncode:
        raise SettingsError(f"{program} {options[-1]} failed: {ran.stderr.strip()}")


def _connection(url: URL) -> dict[str, str]:
    """What libpq's programs read, by the names that they read it from."""
    query = url.normalized_query
    variables = {
        "PGHOST": url.host or ",".join(query.get("host", ())),
        "PGPORT": str(url.port or ",".join(query.get("port", ()))),
        "PGUSER": url.username or ",".join(query.get("user", ())),
        "PGPASSWORD": url.password or ",".join(query.get("password", ())),
        "PGSSLMODE": ",".join(query.get("sslmode", ())),
        "PGSSLROOTCERT": ",".join(query.get("sslrootcert", ())),
        "PGPASSFILE": ",".join(query.get("passfile", ())),
    }
    return {name: value for name, value in variables.items() if value}

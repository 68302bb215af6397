import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from common.errors import SettingsError
from wes_service.store.database import newest_revision, open_database, upgrade
from wes_service.store.dialect import DatabaseNotReady
from wes_service.store.migration import database_status
from wes_service.store.schema import METADATA


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "100% of it.sqlite"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def raw(file: Path, url: str) -> Iterator[sqlite3.Connection]:
    """The upgraded database as SQLite itself sees it."""
    upgrade(url)
    connection = sqlite3.connect(file)
    yield connection
    connection.close()


def test_the_migrations_make_the_tables_that_the_code_uses(url: str) -> None:
    upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_indexes_are_made_by_the_migrations_as_the_code_states_them(raw: sqlite3.Connection, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'stated.sqlite'}")
    METADATA.create_all(engine)
    engine.dispose()
    stated = sqlite3.connect(tmp_path / "stated.sqlite")
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL ORDER BY name"
    assert raw.execute(indexes).fetchall() == stated.execute(indexes).fetchall()
    assert raw.execute(indexes).fetchall()
    stated.close()


def test_an_upgrade_of_an_up_to_date_database_changes_nothing(raw: sqlite3.Connection, url: str) -> None:
    before = list(raw.iterdump())
    upgrade(url)
    assert list(raw.iterdump()) == before


def test_the_database_uses_the_write_ahead_log(raw: sqlite3.Connection) -> None:
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_only_its_owner_may_read_the_file(raw: sqlite3.Connection, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_database_of_a_newer_version_is_left_alone(raw: sqlite3.Connection, url: str) -> None:
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    with pytest.raises(SettingsError, match="9999"):
        upgrade(url)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://host/wes", "mysql"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_a_url_of_no_use_is_refused_in_words(bad: str, words: str) -> None:
    for use in (upgrade, open_database):
        with pytest.raises(SettingsError, match=words):
            use(bad)


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be opened: No such file"):
        upgrade(f"sqlite:///{tmp_path / 'nowhere' / 'wes.sqlite'}")


def test_a_server_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(SettingsError, match="can't be reached"):
        upgrade(f"postgresql://wes@/wes?host={tmp_path}")


def test_a_server_that_is_only_starting_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [DatabaseNotReady("the database system is starting up")] * 3

    def refuse(_url: str) -> None:
        if answers:
            raise answers.pop()

    monkeypatch.setattr("wes_service.store.migration.upgrade", refuse)
    monkeypatch.setattr("wes_service.store.database.START_PAUSE_SECONDS", 0.0)
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    assert answers == []
    answers += [DatabaseNotReady("the database system is starting up")] * 2
    monkeypatch.setattr("wes_service.store.database.START_SECONDS", -1.0)
    with pytest.raises(SettingsError, match="is starting up"):
        upgrade(url)
    assert len(answers) == 1


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for use in (upgrade, open_database):
        with pytest.raises(SettingsError, match="install psycopg"):
            use("postgresql://wes@/wes")


def test_a_start_that_finds_the_newest_tables_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wes.sqlite"
    upgrade(url)
    script = (
        "import sys, wes_service.app, workers.main\n"
        "from wes_service.store.database import upgrade\n"
        f"upgrade({url!r})\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_newest_revision_is_the_end_of_the_chain_of_migrations(tmp_path: Path) -> None:
    assert newest_revision() == database_status(f"sqlite:///{tmp_path}/none").newest

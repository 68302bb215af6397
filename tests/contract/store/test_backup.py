"""What is copied while others write is whole, and comes back as it was."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import SettingsError
from tests.contract.store.opening import DATABASES, new_database
from tests.contract.store.stores import ANN, ENGINES, a_run, a_task, lease_of
from tests.postgres_fixture import Postgres
from wes_service.store.backup import backup, restore
from wes_service.store.database import open_database, upgrade
from wes_service.store.migration import database_status, downgrade


@pytest.fixture(params=DATABASES)
def urls(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A database as the newest migration leaves it, and one without tables."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        if server.programs is not None:
            monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
    (tmp_path / "other").mkdir()
    with (
        new_database(request, request.param, tmp_path, ready=True) as full,
        new_database(request, request.param, tmp_path / "other") as empty,
    ):
        yield full, empty


def test_what_was_stored_comes_back(urls: tuple[str, str], tmp_path: Path) -> None:
    full, empty = urls
    before = open_database(full)
    before.runs.add(a_run(2), None)
    before.runs.add(a_run(1), None)
    run = before.runs.claim("w1", ENGINES)
    assert run is not None
    before.tasks.add(lease_of(run), a_task(1, run))
    backup(full, tmp_path / "copy")
    before.runs.cancel(ANN, run.id)
    restore(empty, tmp_path / "copy")
    after = open_database(empty)
    assert after.runs.get(ANN, run.id) == run
    assert after.runs.get(ANN, a_run(2).id) == a_run(2)
    assert after.tasks.page(run.id, 10, None).items == [a_task(1, run)]
    assert len(after.runs.events(ANN, run.id)) == 2
    after.runs.add(a_run(3), None)
    assert len(after.runs.page(ANN, 10, None).items) == 3
    before.close()
    after.close()


def test_a_backup_is_of_one_moment_while_runs_are_added(urls: tuple[str, str], tmp_path: Path) -> None:
    full, empty = urls
    stop, some = threading.Event(), threading.Event()
    database = open_database(full)

    def add() -> None:
        number = 0
        while not stop.is_set():
            database.runs.add(a_run(number), None)
            number += 1
            if number == 5:
                some.set()

    adding = threading.Thread(target=add)
    adding.start()
    assert some.wait(30)
    backup(full, tmp_path / "copy")
    stop.set()
    adding.join()
    restore(empty, tmp_path / "copy")
    copied = open_database(empty)
    runs = [run.id for run in copied.runs.page(ANN, 100_000, None).items]
    assert runs == [a_run(number).id for number in reversed(range(len(runs)))]
    assert len(runs) >= 5
    assert sum(copied.runs.counts().values()) == len(runs)
    assert copied.runs.get(ANN, runs[0]).id == runs[0]
    copied.close()
    database.close()


def test_a_backup_of_an_older_version_is_brought_up_to_date(urls: tuple[str, str], tmp_path: Path) -> None:
    full, empty = urls
    downgrade(full, "0001")
    backup(full, tmp_path / "copy")
    restore(empty, tmp_path / "copy")
    assert database_status(empty).current == database_status(empty).newest


def test_a_backup_is_for_its_owner_only_and_overwrites_nothing(urls: tuple[str, str], tmp_path: Path) -> None:
    backup(urls[0], tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    with pytest.raises(SettingsError, match="is there already"):
        backup(urls[0], tmp_path / "copy")
    assert not list(tmp_path.glob(".*.part"))


def test_a_database_is_never_overwritten(urls: tuple[str, str], tmp_path: Path) -> None:
    backup(urls[0], tmp_path / "copy")
    with pytest.raises(SettingsError, match="there is a database already"):
        restore(urls[0], tmp_path / "copy")


def test_a_file_that_is_no_backup_leaves_no_database(urls: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "noise").write_text("this is not it" * 1000)
    for name in ("noise", "none"):
        with pytest.raises(SettingsError, match=name):
            restore(urls[1], tmp_path / name)
    assert database_status(urls[1]).current is None
    upgrade(urls[1])


def test_there_must_be_something_to_back_up(urls: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no database to back up"):
        backup(urls[1], tmp_path / "copy")
    with pytest.raises(SettingsError, match="can't be written: No such file"):
        backup(urls[0], tmp_path / "nowhere" / "copy")


def test_a_program_that_is_not_there_is_named(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with postgres.database(ready=True) as url, pytest.raises(SettingsError, match="pg_dump is not installed"):
        backup(url, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []

import contextlib
import sqlite3
from pathlib import Path

from tests.unit.wes_cli.conftest import Wes
from wes_service.store.database import upgrade
from wes_service.store.migration import database_status


def test_the_way_of_a_database_from_nothing_to_a_copy(wes: Wes, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    assert "tables of revision none" in wes("database", "status", "--data", here).output
    upgrade(f"sqlite:///{here / 'wes.sqlite'}")
    newest = database_status(f"sqlite:///{here / 'wes.sqlite'}").newest
    assert (
        f"tables of revision {newest}; this program makes {newest}" in wes("database", "status", "--data", here).output
    )
    copied = wes("database", "backup", tmp_path / "copy", "--data", here)
    assert (copied.exit_code, f"now copy {here / 'runs'}" in copied.output) == (0, True)
    restored = wes("database", "restore", tmp_path / "copy", "--data", there)
    assert (restored.exit_code, restored.output) == (0, f"SQLite, {there / 'wes.sqlite'}\n")


def test_a_step_back_is_made_or_refused_in_words(wes: Wes, tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'wes.sqlite'}")
    refused = wes("database", "downgrade", "9999", "--data", tmp_path)
    assert (refused.exit_code, "only to one of: base, 0001" in refused.output) == (2, True)
    assert "of revision 0001" in wes("database", "downgrade", "0001", "--data", tmp_path).output
    with contextlib.closing(sqlite3.connect(tmp_path / "wes.sqlite")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]

"""`wes tes check`, against a TES that does as it is told."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.tes_server import BadTes, bad_tes
from tests.unit.wes_cli.conftest import Wes


@pytest.fixture
def tes() -> Iterator[BadTes]:
    with bad_tes() as server:
        server.info = {"id": "org.x.funnel", "name": "Funnel \x1b[31m", "type": {"version": "1.1.0"}}
        yield server


@pytest.fixture
def config(open_tmp: Path, tes: BadTes, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = open_tmp / "wes.toml"
    file.write_text(f'[tes.far]\nurl = "{tes.url}"\ntoken_file = "token"\n[tes.gone]\nurl = "http://127.0.0.1:1/v1"\n')
    (open_tmp / "token").write_text("hunter2")
    (open_tmp / "token").chmod(0o600)
    monkeypatch.setenv("WES_CONFIG", str(file))
    return file


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_server_that_works_is_told_with_what_it_is(wes: Wes, tes: BadTes, config: Path) -> None:
    result = wes("tes", "check", "far")
    assert result.exit_code == 0, result.output
    version, listing = lines(result.stdout)
    assert version.startswith(f"OK tes far, {tes.url} answers: Funnel ")
    assert version.endswith("TES 1.1.0, spoken to in Funnel's dialect")
    assert "\x1b" not in result.stdout
    assert listing == f"OK tes far, {tes.url}: the credentials are good, it has no task to show what filters its list"


def test_a_list_that_tags_do_not_filter_is_told(wes: Wes, tes: BadTes, config: Path) -> None:
    tes.bodies = [{"name": "other"}]
    result = wes("tes", "check", "far")
    assert result.exit_code == 0
    assert "absent tes far" in " ".join(result.stdout.split())
    assert "its list is filtered by nothing" in " ".join(result.stdout.split())


def test_credentials_that_are_refused_are_told_by_their_place(wes: Wes, tes: BadTes, config: Path) -> None:
    tes.refused = {"Bearer hunter2"}
    result = wes("tes", "check", "far")
    assert result.exit_code == 1
    assert f"it refuses the credentials of [tes.far] of {config} (HTTP 401)" in result.stdout
    assert "hunter2" not in result.stdout


def test_all_are_asked_where_none_is_named_and_one_that_is_away_is_told(wes: Wes, config: Path) -> None:
    found = json.loads(wes("tes", "check", "--json").stdout)
    assert [each["ok"] for each in found] == [True, True, False]
    assert "gone, http://127.0.0.1:1/v1: it can't be reached" in found[2]["found"]


def test_a_name_that_is_not_there_is_told_with_those_that_are(wes: Wes, config: Path) -> None:
    result = wes("tes", "check", "moon")
    assert result.exit_code == 2
    assert "there is no TES moon in the configuration; there is far, gone" in result.stderr


def test_a_small_task_is_run_where_that_is_wanted(wes: Wes, tes: BadTes, config: Path) -> None:
    result = wes("tes", "check", "far", "--task", "--image", "busybox")
    assert result.exit_code == 0, result.output
    assert "task 0 is COMPLETE after" in result.stdout
    assert tes.bodies[0]["executors"] == [{"image": "busybox", "command": ["echo", "checked"]}]


def test_a_task_that_fails_or_hangs_is_told_and_not_left_there(wes: Wes, tes: BadTes, config: Path) -> None:
    tes.script, tes.documents = ["SYSTEM_ERROR"], {"logs": [{"system_logs": ["no such image"]}]}
    failed = wes("tes", "check", "far", "--task")
    assert failed.exit_code == 1
    assert "task 0 is SYSTEM_ERROR after" in failed.stdout
    assert "no such image" in failed.stdout
    tes.script = ["QUEUED"]
    hung = wes("tes", "check", "far", "--task", "--wait", "0")
    assert "is QUEUED, and was cancelled after" in hung.stdout
    assert tes.canceled == {"1"}


def test_without_a_server_there_is_nothing_to_check(wes: Wes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WES_CONFIG", raising=False)
    assert "there is none (see --config and WES_TES_URLS)" in wes("tes", "check").stderr

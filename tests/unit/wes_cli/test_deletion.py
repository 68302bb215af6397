import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.contract.store.stores import ANN, a_run
from tests.fakes.clock import FakeClock
from tests.fakes.wes_server import FakeRun, FakeWes, Moment
from tests.unit.wes_cli.conftest import Wes
from wes_cli.main import app
from wes_service.store.database import open_database, upgrade


@pytest.fixture(autouse=True)
def _a_run(server: FakeWes) -> None:
    events = [
        {"time": "2025-06-07T12:00:00.123456Z", "state": "QUEUED"},
        {"time": "2025-06-07T12:00:01Z", "state": "EXECUTOR_ERROR", "reason": "The step\x1b[2J failed."},
    ]
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="EXECUTOR_ERROR")], events=events)


def deleted(server: FakeWes) -> bool:
    return any(method == "DELETE" for method, _, _ in server.asked)


def test_rm_asks_and_deletes_on_yes(wes: Wes, server: FakeWes, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["rm", "r1"], input="y\n")
    assert result.exit_code == 0, result.output
    assert "Delete r1 (EXECUTOR_ERROR) with its outputs and logs, for good?" in result.stderr
    assert result.stdout.strip().endswith("r1 is deleted")
    assert server.runs == {}


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_rm_deletes_nothing_without_a_yes(wes: Wes, server: FakeWes, answer: str) -> None:
    result = CliRunner().invoke(app, ["rm", "r1"], input=answer)
    assert result.exit_code == 2
    assert "r1 was not deleted" in result.stderr
    assert not deleted(server)


def test_rm_with_yes_does_not_ask(wes: Wes, server: FakeWes) -> None:
    result = wes("rm", "last", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "r1 is deleted\n", "")


def test_rm_of_a_run_that_goes_on_tells_the_servers_words(wes: Wes, server: FakeWes) -> None:
    server.runs["r1"].moments = [Moment(state="RUNNING")]
    result = wes("rm", "r1", "-y")
    assert (result.exit_code, "cancel it first" in result.stderr) == (2, True)


def test_a_server_that_deletes_nothing_or_tells_no_history_is_told_of(wes: Wes, server: FakeWes) -> None:
    server.has_more = False
    assert "does not delete runs" in wes("rm", "r1", "-y").stderr
    result = wes("events", "r1")
    assert (result.exit_code, "tells no history" in result.stderr) == (2, True)


def test_events_are_listed_with_time_state_and_reason(wes: Wes) -> None:
    lines = wes("events").stdout.splitlines()
    assert lines[0].split() == ["TIME", "STATE", "REASON"]
    assert lines[1].endswith(".123  QUEUED")
    assert "EXECUTOR_ERROR  The step [2J failed." in lines[2]
    assert json.loads(wes("events", "r1", "--json").stdout)["events"][1]["state"] == "EXECUTOR_ERROR"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("WES_DATABASE_URL", raising=False)
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    with closing(open_database(url, FakeClock())) as database:
        for number in (1, 2):
            run = database.runs.add(a_run(number), None)
            database.runs.cancel(ANN, run.id)
            database.runs.delete(ANN, run.id)
        database.tombstones.purged(a_run(1).id)
        yield tmp_path


def test_deleted_runs_are_listed_from_the_database(wes: Wes, data: Path) -> None:
    lines = wes("deleted", "--data", data).stdout.splitlines()
    assert lines[0].split() == ["RUN", "STATE", "ENDED", "DELETED", "BY", "DATA"]
    assert lines[1].split()[:2] == ["run-000002", "CANCELED"]
    assert "ann (https://idp.example)" in lines[1]
    assert [line.split("  ")[-1].strip() for line in lines[1:]] == ["to be removed", "removed"]
    assert len(wes("deleted", "--data", data, "-n", 1).stdout.splitlines()) == 2


def test_all_that_is_kept_of_a_deleted_run_is_there_as_json(wes: Wes, data: Path) -> None:
    stone = json.loads(wes("deleted", "--data", data, "--json").stdout)[1]
    assert stone["id"] == "run-000001"
    assert stone["deleted"] == "2025-01-02T03:04:05.678901Z"
    assert stone["owner"] == {"issuer": "https://idp.example", "subject": "ann"}
    assert len(stone["request_digest"]) == 64
    assert "main.cwl" not in json.dumps(stone)


def test_a_folder_without_a_database_is_told_and_stays_without(wes: Wes, tmp_path: Path) -> None:
    result = wes("deleted", "--data", tmp_path / "nowhere")
    assert (result.exit_code, "there is no database" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_an_older_version_is_told(wes: Wes, tmp_path: Path) -> None:
    (tmp_path / "wes.sqlite").touch()
    result = wes("deleted", "--data", tmp_path)
    assert (result.exit_code, "of this version" in result.stderr) == (2, True)

import contextlib
import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from sandbox.bubblewrap import SandboxProbe
from tests.fakes.tes_server import bad_tes
from tests.fakes.wes_server import FakeWes
from tests.unit.wes_cli.conftest import Wes
from wes_cli import doctor as checks
from wes_cli.client import WesClient
from wes_cli.doctor import ProgramOutput
from wes_cli.findings import Finding
from wes_service.settings import Settings
from wes_service.store.database import upgrade


@pytest.fixture
def settings(open_tmp: Path) -> Settings:
    return Settings(data=open_tmp / "data", engines=open_tmp / "engines", redis_url="redis://:pw@queue:6379/0")


def answers(monkeypatch: pytest.MonkeyPatch, said: dict[str, ProgramOutput]) -> None:
    monkeypatch.setattr(checks, "_run_program", lambda argv: said[argv[0]])


def test_this_python_is_fine() -> None:
    assert sys.executable in checks.python().found


def test_a_sandbox_that_does_not_work_is_told_with_its_fix(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(
        checks, "probe", lambda _: SandboxProbe(works=False, problem="bubblewrap is missing", fix="do x")
    )
    finding = checks.sandbox(settings)
    assert (finding.ok, finding.need, finding.fix) == (False, "better", "do x")
    assert "bubblewrap is missing" in finding.found


@pytest.mark.parametrize(
    ("works", "counts", "ok", "said"),
    [
        (True, True, True, "77 processes"),
        (True, False, False, "the number of processes is not limited on Linux"),
        (False, True, False, "the number of processes is not limited without the sandbox"),
    ],
)
def test_it_is_told_which_limits_hold_and_which_do_not(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, *, works: bool, counts: bool, ok: bool, said: str
) -> None:
    monkeypatch.setattr(checks, "probe", lambda _: SandboxProbe(works=works, problem="", fix=""))
    monkeypatch.setattr(checks, "limits_processes_per_namespace", lambda: counts)
    limited = settings.model_copy(update={"engine_memory_gb": 3.5, "engine_processes": 77, "run_disk_gb": 20.0})
    finding = checks.limits(limited)
    assert (finding.ok, finding.need, bool(finding.fix)) == (ok, "better", not ok)
    assert "memory 3.5 GB, each log 1 GB, 20 GB of disk per engine" in finding.found
    assert said in finding.found


def test_a_client_without_a_daemon_is_no_container_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    absent, silent = ProgramOutput(ok=False, text=checks.ABSENT), ProgramOutput(ok=False, text="does not answer")
    answers(monkeypatch, {"docker": silent, "podman": absent})
    assert checks.containers().fix == "systemctl start docker"
    answers(monkeypatch, {"docker": absent, "podman": absent})
    assert checks.containers().fix == "apt-get install podman"


def test_a_container_engine_that_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"docker": ProgramOutput(ok=False, text=""), "podman": ProgramOutput(ok=True, text="4.3.1")})
    assert (checks.containers().ok, checks.containers().found) == (True, "podman 4.3.1")


def test_the_password_of_redis_is_not_shown(settings: Settings) -> None:
    assert checks.redis(settings).found == "queue:6379/0"


def test_a_database_that_is_yet_to_be_made_is_fine_and_is_not_made(settings: Settings) -> None:
    finding = checks.database(settings)
    assert finding.ok
    assert finding.found == f"SQLite, {settings.data / 'wes.sqlite'} (its tables will be made or brought up to date)"
    assert not settings.data.exists()


def test_a_database_of_a_newer_version_is_told(settings: Settings) -> None:
    settings.data.mkdir()
    upgrade(settings.database)
    assert checks.database(settings).found == f"SQLite, {settings.data / 'wes.sqlite'}"
    with contextlib.closing(sqlite3.connect(settings.data / "wes.sqlite")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    finding = checks.database(settings)
    assert (finding.ok, finding.need) == (False, "needed")
    assert "revision 9999" in finding.found


def test_a_database_server_that_does_not_answer_is_told_without_its_password(settings: Settings) -> None:
    finding = checks.database(settings.model_copy(update={"database_url": "postgresql://wes:s3cret@127.0.0.1:1/wes"}))
    assert not finding.ok
    assert "can't be reached" in finding.found
    assert "s3cret" not in finding.found


def test_no_engine_says_how_to_install_one(settings: Settings) -> None:
    [finding] = checks.engines(settings)
    assert (finding.ok, finding.need, finding.fix) == (False, "needed", "wes engines install cwl")


def test_little_disk_is_told(settings: Settings) -> None:
    assert checks.disk(settings).ok
    assert not checks.disk(settings.model_copy(update={"min_free_gb": 1e9})).ok


def test_a_data_folder_that_can_be_made_is_fine(settings: Settings) -> None:
    finding = checks.data_folder(settings)
    assert finding.ok
    assert "will be made" in finding.found


@pytest.mark.skipif(os.geteuid() != 0, reason="another user runs the workflows only where the server is root")
def test_a_folder_that_keeps_the_workflows_user_out_is_named(settings: Settings, open_tmp: Path) -> None:
    (open_tmp / "closed").mkdir(mode=0o700)
    finding = checks.data_folder(settings.model_copy(update={"data": open_tmp / "closed" / "data"}))
    assert (finding.ok, finding.fix) == (False, f"chmod o+x {open_tmp / 'closed'}")


def test_a_server_that_answers_is_listed_with_its_engines(server: FakeWes) -> None:
    finding = checks.server(WesClient(server.url))
    assert (finding.ok, finding.found) == (True, f"{server.url}/ga4gh/wes/v1: cwltool 3.3")


def test_a_program_that_is_not_there_is_no_error() -> None:
    assert checks._run_program(["no-such-program-here"]) == ProgramOutput(ok=False, text=checks.ABSENT)


def test_the_doctor_fails_only_for_what_is_needed(wes: Wes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding(name="java", ok=False, found="none", need="optional", fix="get it")]
    monkeypatch.setattr("wes_cli.doctor.findings", lambda *_: iter(found))
    result = wes("doctor")
    assert result.exit_code == 0
    assert "absent   java" in result.stdout
    assert "→ get it" in result.stdout
    found.append(Finding(name="disk", ok=False, found="full"))
    failed = wes("doctor", "--json")
    assert failed.exit_code == 1
    assert [each["name"] for each in json.loads(failed.stdout)] == ["java", "disk"]


def test_each_tes_that_is_configured_is_asked(settings: Settings) -> None:
    assert list(checks.tes_servers(settings)) == []
    with bad_tes() as tes:
        urls = (tes.url, "http://127.0.0.1:1/v1")
        there, filters, gone = checks.tes_servers(settings.model_copy(update={"tes_urls": urls}))
    assert (there.ok, there.found) == (True, f"127.0.0.1, {tes.url} answers: no service-info, as of TES 1.0")
    assert filters.ok
    assert not gone.ok
    assert gone.found.startswith("127.0.0.1-2, http://127.0.0.1:1/v1: it can't be reached: ")
    assert gone.found.endswith("; see WES_TES_URLS")


def test_a_named_tes_whose_token_can_not_be_read_is_told_by_its_key(open_tmp: Path) -> None:
    file = open_tmp / "wes.toml"
    file.write_text('[tes.far]\nurl = "http://127.0.0.1:1/v1"\ntoken_file = "none"\n')
    (found,) = checks.tes_servers(Settings(data=open_tmp / "data", config=file))
    assert found.found.startswith(
        f"far, http://127.0.0.1:1/v1: token_file of [tes.far] of {file}: {open_tmp}/none can't"
    )

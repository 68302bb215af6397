"""`wes up` as an operator knows it: it starts, it stops, things die, and nothing is left or lost."""

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.conftest import StartWes, open_folder, started_wes
from tests.acceptance.stack import OTHER_TES, Wes, embedded_only, gone
from tests.acceptance.workflows import BRANCHES, COUNT, ECHO, form, parts
from tests.http_client import http
from tests.program_server import run_wes
from tests.waiting import until
from wes_cli.private_server import free_port


@embedded_only
def test_the_embedded_tes_has_no_port_and_a_socket_of_its_owners_alone(wes: Wes) -> None:
    ports = {at.laddr.port for p in wes.tree() for at in p.net_connections("inet") if at.status == psutil.CONN_LISTEN}
    assert ports == {wes.port}
    socket = wes.data / "tes" / "socket" / "tes.sock"
    assert (socket.stat().st_mode & 0o777, socket.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """A service that asks for a token since its second start; at its first one its TES had a port, and it had a run."""

    wes: Wes
    token: str
    run_id: str
    tes_url: str


@pytest.fixture(scope="module")
def upgraded(cwl_installation: object) -> Iterator[Upgraded]:
    with started_wes() as wes:
        run_id = wes.submit(form(workflow_params='{"word": "x"}', tags='{"sample": "7"}'), parts(ECHO))
        assert wes.wait(run_id)["state"] == "COMPLETE"
        assert wes.stop() == 0
        tes_url = with_a_tes_at_a_port(wes.data) if OTHER_TES is None else OTHER_TES
        token_file = wes.data / "token"
        token_file.write_text("a-secret-token\n")
        token_file.chmod(0o600)
        wes.options = ("--token-file", str(token_file))
        yield Upgraded(wes=wes.start(), token="a-secret-token", run_id=run_id, tes_url=tes_url)


def with_a_tes_at_a_port(data: Path) -> str:
    """What an older version left there; the URL that its TES has now."""
    ours = (data / "tes" / "url").read_text()
    (data / "tes" / "url").unlink()
    (data / "tes" / "port").write_text("8090")
    with closing(sqlite3.connect(data / "wes.sqlite")) as database, database:
        database.execute("UPDATE tasks SET tes_url = 'http://127.0.0.1:8090/ga4gh/tes/v1'")
    return ours


@embedded_only
def test_tasks_of_a_start_with_a_port_are_known_at_the_socket(upgraded: Upgraded) -> None:
    with closing(sqlite3.connect(upgraded.wes.data / "wes.sqlite")) as database:
        assert database.execute("SELECT DISTINCT tes_url FROM tasks").fetchall() == [(upgraded.tes_url,)]


def test_two_of_them_can_not_share_a_data_folder(wes: Wes) -> None:
    second = run_wes("up", "--data", wes.data, "--port", free_port())
    assert second.returncode == 2
    assert f"another 'wes up' uses {wes.data}" in second.stderr


def test_a_port_that_is_taken_is_said(wes: Wes, open_tmp: Path) -> None:
    second = run_wes("up", "--data", open_tmp, "--port", wes.port)
    assert second.returncode == 2
    assert "choose another --port" in second.stderr


def test_other_addresses_than_loopback_need_a_token(open_tmp: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WES_")}
    ran = run_wes("up", "--data", open_tmp, "--host", "0.0.0.0", environment=environment)
    assert ran.returncode == 2
    assert "WES_TOKEN_FILE" in ran.stderr


def test_with_a_token_nothing_but_service_info_is_open(upgraded: Upgraded) -> None:
    wes = upgraded.wes
    assert http.get(f"{wes.url}/service-info").status_code == 200
    refused = http.get(f"{wes.url}/runs")
    assert (refused.status_code, refused.json()["status_code"]) == (401, 401)
    assert http.get(f"{wes.url}/runs", headers={"Authorization": f"Bearer {upgraded.token}"}).status_code == 200
    assert http.get(f"{wes.url}/runs", headers={"Authorization": "Bearer another"}).status_code == 401
    lines = [" ".join(argv) for _, argv in wes.commands()]
    assert not any(upgraded.token in line for line in lines)
    assert upgraded.token not in wes.said()


def test_runs_from_before_there_was_a_token_are_told_of_and_adopted(upgraded: Upgraded) -> None:
    wes = upgraded.wes
    assert "runs    1 that were submitted without a token" in wes.said()
    with httpx.Client(base_url=wes.url, headers={"Authorization": f"Bearer {upgraded.token}"}) as mine:
        assert mine.get("/runs").json()["runs"] == []
        assert run_wes("runs", "adopt", "--data", wes.data).stdout == "1 run now belongs to token\n"
        found = mine.get("/runs", params={"tag": "sample:7"}).json()["runs"]
        assert [run["run_id"] for run in found] == [upgraded.run_id]
        assert mine.get(f"/runs/{upgraded.run_id}").json()["state"] == "COMPLETE"


def test_a_tes_that_is_down_ends_the_run_in_system_error_that_names_it(start_wes: StartWes) -> None:
    address = f"http://127.0.0.1:{free_port()}/ga4gh/tes/v1"
    wes = start_wes("--tes", address, environment={"WES_TES_PATIENCE_SECONDS": "2"})
    log = wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))
    assert log["state"] == "SYSTEM_ERROR"
    assert address in log["run_log"]["system_logs"][0]


def test_without_an_engine_the_service_says_which_command_installs_it(start_wes: StartWes, open_tmp: Path) -> None:
    wes = start_wes(engines=open_tmp / "none")
    assert wes.get("/service-info")["workflow_engine_versions"] == {}
    response = wes.post(form(), parts(ECHO))
    assert response.status_code == 400
    assert "wes engines install cwl" in response.json()["msg"]
    assert "wes engines install cwl" in wes.said()


def test_a_full_disk_is_said_and_runs_wait_for_room(start_wes: StartWes) -> None:
    wes = start_wes(environment={"WES_MIN_FREE_GB": "1000000"})
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    worker_log = wes.data / "logs" / "worker.log"
    until(lambda: "free some disk, and what is queued begins" in worker_log.read_text())
    until(lambda: "free some disk" in wes.said())
    assert wes.state(run_id) == "QUEUED"
    wes.stop()
    wes.environment = {}
    wes.start()
    assert wes.wait(run_id)["state"] == "COMPLETE"


def test_allowed_data_is_read_in_place_and_only_read(start_wes: StartWes) -> None:
    shelf = open_folder()
    try:
        (shelf / "reads.txt").write_text("1234567")
        (shelf / "reads.txt").chmod(0o644)
        wes = start_wes("--allow-data", str(shelf))
        params = {"file": {"class": "File", "location": f"file://{shelf}/reads.txt"}}
        log = wes.wait(wes.submit(form(workflow_params=json.dumps(params)), parts(COUNT)))
        assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
        assert http.get(log["outputs"]["count"]["location"]).text.split()[0] == "7"
        spoil = COUNT.replace("baseCommand: [wc, -c]", "baseCommand: [sh, -c, 'echo x >> \"$0\"']")
        spoil = spoil.replace("stdin: $(inputs.file.path)", "arguments: [$(inputs.file.path)]")
        log = wes.wait(wes.submit(form(workflow_params=json.dumps(params)), parts(spoil)))
        assert log["state"] == "EXECUTOR_ERROR"
        assert (shelf / "reads.txt").read_text() == "1234567"
    finally:
        shutil.rmtree(shelf)


def test_nothing_that_foreign_code_wrote_belongs_to_root(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    work = wes.data / "runs" / run_id / "work"
    owners = {path.lstat().st_uid for path in [work, *work.rglob("*")]}
    assert owners == {64321 if os.geteuid() == 0 else os.geteuid()}
    secret = wes.data / "secrets"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o700


def path_without(names: set[str], folder: Path) -> str:
    """A PATH on which all programs are but those named."""
    folder.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"):
        for program in Path(place).iterdir():
            link = folder / program.name
            if program.name not in names and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


@pytest.mark.parametrize("command", ["up", "worker"])
def test_without_bubblewrap_nothing_starts_unless_the_operator_says_so(open_tmp: Path, command: str) -> None:
    path = path_without({"bwrap", "docker", "podman"}, open_tmp / "bin")
    environment = {"PATH": path, "WES_REDIS_URL": "redis://127.0.0.1:1/0", "WES_PORT": str(free_port())}
    ended = run_wes(command, "--data", open_tmp / "data", environment=environment)
    assert ended.returncode == 2
    assert "apt-get install bubblewrap" in ended.stderr
    assert "--unsandboxed" in ended.stderr


def test_with_neither_containers_nor_bubblewrap_it_runs_unsandboxed_where_that_is_asked_for_and_says_so(
    start_wes: StartWes, open_tmp: Path
) -> None:
    path = path_without({"bwrap", "docker", "podman"}, open_tmp / "bin")
    wes = start_wes("--unsandboxed", environment={"PATH": path, "TES_RUNNER": "auto"})
    assert "WITHOUT A SANDBOX" in wes.said()
    assert "apt-get install bubblewrap" in wes.said()
    params = {"file": {"class": "File", "location": "a.txt"}}
    log = wes.wait(wes.submit(form(workflow_params=json.dumps(params)), parts(COUNT, {"a.txt": "12345"})))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["count"]["location"]).text.split()[0] == "5"
    assert "WITHOUT a sandbox" in " ".join(log["run_log"]["system_logs"])
    run_id = wes.submit(form(workflow_params='{"seconds": [600]}'), parts(BRANCHES))
    wes.wait(run_id, "RUNNING")
    processes = wes.tree()
    assert wes.stop() == 0
    assert gone(processes)

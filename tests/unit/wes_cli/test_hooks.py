"""`wes hooks`: what is listed, and delivered again."""

import json
import socket
from pathlib import Path

import pytest

from common.hooks import new_hook_secret
from tests.fakes.wes_server import API, FakeWes
from tests.unit.wes_cli.conftest import Wes
from wes_cli import doctor
from wes_service.settings import read_settings

FAILED = {
    "id": "r1-ended-lims",
    "run_id": "r1",
    "hook": "lims",
    "state": "failed",
    "created": "2026-01-02T03:04:05.000000Z",
    "attempts": 31,
    "problem": "the receiver can't be reached\x1b[31m",
}


def lists(server: FakeWes, *items: dict[str, object]) -> None:
    document = {"notifications": list(items), "next_page_token": ""}
    server.files[f"{API}/notifications"] = json.dumps(document).encode()


def test_what_failed_is_listed_with_its_reason(wes: Wes, server: FakeWes) -> None:
    lists(server, FAILED)
    shown = wes("hooks", "--state", "failed")
    assert shown.exit_code == 0
    row = next(line for line in shown.stdout.splitlines() if line.startswith("r1-ended-lims"))
    assert row.split()[:4] == ["r1-ended-lims", "lims", "failed", "31"]
    assert "can't be reached" in row
    assert "\x1b" not in row


def test_json_is_as_the_server_sent_it(wes: Wes, server: FakeWes) -> None:
    lists(server, FAILED)
    assert json.loads(wes("hooks", "--json").stdout) == [FAILED]


def test_nothing_and_no_such_state_and_other_servers_are_told(wes: Wes, server: FakeWes) -> None:
    lists(server)
    assert "nobody" in wes("hooks").stderr
    assert "there is waiting, delivered, failed" in wes("hooks", "--state", "lost").stderr
    server.files.clear()
    refused = wes("hooks")
    assert refused.exit_code == 2
    assert "tells nobody" in refused.stderr


def test_one_is_delivered_again(wes: Wes, server: FakeWes) -> None:
    server.files[f"{API}/notifications/r1-ended-lims/redeliver"] = json.dumps({**FAILED, "state": "waiting"}).encode()
    assert wes("hooks", "redeliver", "r1-ended-lims").stdout == "r1-ended-lims is waiting\n"
    assert server.asked[-1][0] == "POST"


def test_the_doctor_looks_at_secret_and_receiver(server: FakeWes, open_tmp: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{closed.getsockname()[1]}/hunter2"
    secret = open_tmp / "secret"
    secret.write_text(new_hook_secret())
    secret.chmod(0o600)
    tables = {"up": (server.url, "secret"), "away": (away, "secret"), "open": (server.url, "nothing")}
    lines = (f'[hooks.{name}]\nurl = "{url}"\nsecret_file = "{file}"\n' for name, (url, file) in tables.items())
    (open_tmp / "wes.toml").write_text("".join(lines))
    found = {each.found.partition(":")[0]: each for each in doctor.hooks(read_settings(config=open_tmp / "wes.toml"))}
    assert [found[name].ok for name in tables] == [True, False, False]
    assert "hunter2" not in found["away"].found


@pytest.mark.parametrize("command", [("hooks", "--help"), ("hooks", "redeliver", "--help")])
def test_help_names_an_example(wes: Wes, command: tuple[str, ...]) -> None:
    assert "wes hooks" in wes(*command).stdout

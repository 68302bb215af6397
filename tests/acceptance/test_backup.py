"""The steps of docs/operation.md, as they stand there: a backup while runs are going, and the way back from it."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartWes, open_folder
from tests.acceptance.workflows import BRANCHES, ECHO, form, parts
from tests.contract.store.opening import DATABASES
from tests.http_client import http
from tests.postgres_fixture import Postgres, parted

REPOSITORY = Path(__file__).parents[2]
QUICK = {"WES_LEASE_SECONDS": "3", "WES_TES_FORGOTTEN_SECONDS": "2"}
GUIDE = (REPOSITORY / "docs" / "operation.md").read_text()


@pytest.fixture
def place() -> Iterator[Path]:
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


def steps(name: str, place: Path) -> str:
    """A block of commands of the guide, with folders of this test."""
    (block,) = re.findall(rf"^```sh {name}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(block).replace("/srv/wes", str(place / "data")).replace("/backup", str(place / "backup"))


def follow(name: str, place: Path, environment: Mapping[str, str]) -> None:
    command = place / "bin" / "wes"
    if not command.exists():
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wes_cli.main "$@"\n')
        command.chmod(0o755)
    path = f"{command.parent}:{environment.get('PATH', os.environ['PATH'])}"
    # Nothing but the commands says where the data folder is, as with a service that got it by an option.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WES_")}
    given = {**inherited, **environment, "PATH": path, "PYTHONPATH": str(REPOSITORY), "HOME": str(place)}
    ran = subprocess.run(
        ["sh", "-eux", "-c", steps(name, place)], env=given, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", DATABASES)
def test_the_steps_of_the_guide_bring_everything_back(
    request: pytest.FixtureRequest, start_wes: StartWes, place: Path, kind: str
) -> None:
    environments = database_of(request, kind, place)
    before = next(environments) | QUICK
    wes = start_wes(data=place / "data", environment=before)
    done = wes.submit(form(workflow_params='{"word": "kept"}'), parts(ECHO))
    assert wes.wait(done)["state"] == "COMPLETE"
    going = wes.submit(form(workflow_params='{"seconds": [40]}'), parts(BRANCHES))
    wes.wait(going, "RUNNING")
    (place / "backup").mkdir()
    follow("backup", place, before)
    assert stat.S_IMODE((place / "backup" / "wes.db").stat().st_mode) == 0o600
    later = wes.submit(form(workflow_params='{"word": "lost"}'), parts(ECHO))
    assert wes.stop() == 0
    shutil.rmtree(place / "data")

    after = next(environments) | QUICK
    follow("restore", place, after)
    again = start_wes(data=place / "data", environment=after)
    log = again.get(f"/runs/{done}")
    assert log["state"] == "COMPLETE"
    assert http.get(f"{again.url}/runs/{done}/outputs/{output_name(log)}").text == "kept\n"
    log = again.wait(going)
    assert (log["state"], "attempt 2" in str(log["run_log"]["system_logs"])) == ("COMPLETE", True)
    assert http.get(f"{again.url}/runs/{later}").status_code == 404
    fresh = again.submit(form(workflow_params='{"word": "new"}'), parts(ECHO))
    assert again.wait(fresh)["state"] == "COMPLETE"
    assert again.stop() == 0
    environments.close()


def output_name(log: dict[str, dict[str, dict[str, str]]]) -> str:
    return log["outputs"]["said"]["location"].partition("/outputs/")[2]


def database_of(request: pytest.FixtureRequest, kind: str, place: Path) -> Generator[dict[str, str], None, None]:
    """The environment of the service before the loss of everything, and after it with a database that is empty."""
    if kind == "sqlite":
        yield {}
        yield {}
        return
    server: Postgres = request.getfixturevalue("postgres")
    path = os.environ["PATH"] if server.programs is None else f"{server.programs}:{os.environ['PATH']}"
    with server.database() as first, server.database() as second:
        for url in (first, second):
            bare, password = parted(url)
            (place / "password").write_text(password)
            (place / "password").chmod(0o600)
            secret = str(place / "password")
            yield {"WES_DATABASE_URL": bare, "WES_DATABASE_PASSWORD_FILE": secret, "PATH": path}

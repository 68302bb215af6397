"""TES servers that `wes.toml` names, each a `wes tes` with a token of its own."""

import contextlib
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import open_folder, started_wes
from tests.acceptance.stack import Wes
from tests.acceptance.workflows import ECHO, form, parts
from tests.waiting import until
from wes_cli.private_server import free_port
from wes_cli.programs import TES_BASE, Child, ChildSpec
from wes_cli.stack import answers_service_info


@dataclass(frozen=True, kw_only=True)
class NamedTes:
    """A `wes tes` that runs; its token is in `token_file` and nowhere else."""

    url: str
    token_file: Path
    child: Child


@contextlib.contextmanager
def named_tes(folder: Path, runs: Path) -> Iterator[NamedTes]:
    """One for the runs of that folder."""
    folder.mkdir(mode=0o711)
    token_file, port = folder / "token", free_port()
    token_file.write_text(secrets.token_urlsafe(32))
    token_file.chmod(0o600)
    argv = [sys.executable, "-m", "wes_cli.main", "tes", "--data", folder / "tes", "--port", port]
    argv += ["--token-file", token_file, "--runs", runs, "--runner", "bubblewrap"]
    spec = ChildSpec(name="tes", argv=[str(each) for each in argv], environment={"PATH": "/usr/bin:/bin"})
    tes = NamedTes(
        url=f"http://127.0.0.1:{port}{TES_BASE}",
        token_file=token_file,
        child=Child(spec=spec, log=folder / "tes.log"),
    )
    tes.child.start()
    try:
        until(lambda: answers_service_info(tes.url, token_file), tes.child.last_lines)
        yield tes
    finally:
        tes.child.stop()


@dataclass(frozen=True, kw_only=True)
class Configured:
    """A `wes up` by its file, and the servers that the file names."""

    wes: Wes
    file: Path
    near: NamedTes


@pytest.fixture(scope="module")
def configured(cwl_installation: object) -> Iterator[Configured]:
    """Shared: a test may submit runs, but must not stop anything."""
    folder = open_folder()
    file = folder / "wes.toml"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # `wes up` makes the folder of its runs, and tells them by their real paths.
        data = folder / "up"
        near = stack.enter_context(named_tes(folder / "near", data / "runs"))
        file.write_text(f'[tes.near]\nurl = "{near.url}"\ntoken_file = "near/token"\n')
        wes = stack.enter_context(started_wes("--config", str(file), data=data))
        yield Configured(wes=wes, file=file, near=near)


def tasks_of(wes: Wes, run_id: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    return tasks


def test_the_tasks_of_a_run_go_to_the_tes_that_the_file_names(configured: Configured) -> None:
    wes = configured.wes
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    assert f"tes     near ({configured.near.url})" in wes.said()
    assert "embedded" not in wes.said()
    assert not (wes.data / "tes" / "socket").exists()


def test_the_token_of_a_tes_is_nowhere_but_in_its_file(configured: Configured) -> None:
    wes = configured.wes
    run_id = wes.submit(form(workflow_params='{"word": "secretly"}'), parts(ECHO))
    wes.wait(run_id)
    token = configured.near.token_file.read_bytes()
    kept = [path for path in wes.data.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in kept if token in path.read_bytes()]
    for _, argv in wes.commands():
        assert token.decode() not in " ".join(argv)
    shown = subprocess.run(
        [sys.executable, "-m", "wes_cli.main", "config", "show", "--config", configured.file],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "near/token" in shown
    assert token.decode() not in shown

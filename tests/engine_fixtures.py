"""Real engines and a real TES for tests: installed once for all sessions, started for one.

`WES_TEST_ENGINES` names the folder of engines; the default is in the checkout's `.venv`, or in /var/tmp where the user
that engines run as can't read the checkout.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.engine import Engine, EngineEnd, EngineJob, Installation, RunFolder
from engines.install import ensure_current, install
from engines.registry import RECIPES, engine_named
from sandbox.identity import Identity, can_reach, foreign_identity
from tests.forked_engine import ForkedEngine, ForkedRun, forked_engine
from tests.http_client import http
from tests.program_server import StartedProgram
from tests.waiting import PATIENCE
from wes_cli.private_server import free_port

REPOSITORY = Path(__file__).parents[1]
SANDBOX_UID = 64321


def engines_folder() -> Path:
    """Where tests keep installed engines."""
    named = os.environ.get("WES_TEST_ENGINES")
    if named:
        return Path(named)
    if can_reach(foreign_identity(SANDBOX_UID), REPOSITORY):
        return REPOSITORY / ".venv" / "engines-test"
    return Path(f"/var/tmp/wes-tes-test-engines-{os.geteuid()}")


def install_for_tests(name: str, version: str | None = None) -> Installation:
    identity = foreign_identity(SANDBOX_UID)
    folder = engines_folder()
    installed = install(
        name,
        version,
        folder,
        lambda line: print(line, file=sys.stderr),
        may_read=lambda path: can_reach(identity, path),
    )
    ensure_current(installed)
    return installed


@pytest.fixture(scope="session")
def cwl_installation() -> Installation:
    return install_for_tests("cwl")


@pytest.fixture(scope="session")
def nextflow_installation() -> Installation:
    return install_for_tests("nextflow")


@dataclass(frozen=True, kw_only=True)
class Tes:
    """A running TES that reads and writes in `folder`, which the tests may write to as well."""

    url: str
    folder: Path

    def tasks(self) -> list[dict[str, Any]]:
        """All of them, newest first, in full."""
        answer = http.get(f"{self.url}/tasks", params={"view": "FULL", "page_size": 2000})
        assert answer.status_code == httpx.codes.OK, answer.text
        return list(answer.json()["tasks"])


@pytest.fixture(scope="session")
def tes() -> Iterator[Tes]:
    """The embedded TES as a program of its own, without a gateway before it."""
    folder = Path(tempfile.mkdtemp(prefix="wes-test-tes-", dir="/var/tmp"))
    folder.chmod(0o755)
    runs = folder / "runs"
    runs.mkdir()
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("WES_", "TES_"))},
        "TES_DATA": str(folder / "tes"),
        "TES_ALLOW": str(runs),
        "TES_PORT": str(port),
        "TES_PROGRAMS": str(engines_folder()),
        # Some tests need several tasks at once, also on a small machine.
        "TES_CPUS": "8",
        "TES_SANDBOX_UID": str(SANDBOX_UID),
        # No image can be pulled here, whatever container engine answers.
        "TES_RUNNER": "bubblewrap",
    }
    process = StartedProgram(["tes"], environment, folder / "tes.log")
    try:
        url = f"http://127.0.0.1:{port}/ga4gh/tes/v1"
        _wait_for(url, process, folder / "tes.log")
        yield Tes(url=url, folder=runs)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, process: StartedProgram, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"the TES ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the TES is not ready:\n{log.read_text()}"
        try:
            if http.get(f"{url}/service-info").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.05)


@dataclass(kw_only=True)
class EngineRun:
    """One workflow run by an engine's executor as a plain process of the engine's user, straight on a TES.

    `attachments`: file name to text. `forked`: what it is a fork of, if it is one. `folder` is the run's folder; a
    second run in it is a restart.
    """

    engine: Engine
    installation: Installation
    tes_url: str
    folder: RunFolder
    attachments: Mapping[str, str]
    workflow: str
    params: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    fragment: str | None = None
    token: str = "not checked by this TES"
    allowed_data: tuple[Path, ...] = ()
    step_limits: Mapping[str, float] = field(default_factory=dict)
    forked: ForkedEngine | None = None
    process: "subprocess.Popen[str] | ForkedRun | None" = None
    end: EngineEnd | None = None

    def start(self) -> "EngineRun":
        identity = foreign_identity(SANDBOX_UID)
        self._write(identity)
        command = self.engine.command(self._job())
        for name, text in command.files.items():
            (self.folder.control / name).write_text(text)
        if self.forked is not None:
            self.process = self.forked.start(command, self.folder.work, self.folder.logs / "stdout")
            return self
        with (self.folder.logs / "stdout").open("ab") as stdout:
            self.process = subprocess.Popen(
                [*identity.argv(), *command.argv],
                env=dict(command.environment),
                cwd=self.folder.work,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        return self

    def wait(self, seconds: float = PATIENCE) -> EngineEnd:
        assert self.process is not None
        try:
            _, said = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
            pytest.fail(f"the engine did not end:\n{said}")
        code = self.process.returncode
        assert code is not None
        self.end = EngineEnd(exit_code=code, stderr=said)
        return self.end

    def outputs(self) -> dict[str, Any]:
        """Waits, and expects success."""
        end = self.wait()
        assert end.exit_code == 0, end.stderr
        return dict(self.engine.outputs(self.folder))

    def reason(self) -> str:
        """Waits, and expects a failure."""
        end = self.wait()
        assert end.exit_code != 0, end.stderr
        return self.engine.diagnose(self.folder, end)

    def _write(self, identity: Identity) -> None:
        for path in (self.folder.root, self.folder.control, self.folder.logs, self.folder.attachments):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        identity.make_folder(self.folder.work, 0o755)
        for name, text in self.attachments.items():
            path = self.folder.attachments / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.folder.control / "tes-token").write_text(f"{self.token}\n")

    def _job(self) -> EngineJob:
        return EngineJob(
            run_id=self.folder.root.name,
            folder=self.folder,
            installation=self.installation,
            workflow=self.folder.attachments / self.workflow,
            fragment=self.fragment,
            params=self.params,
            parameters=self.parameters,
            tes_url=self.tes_url,
            token_file=self.folder.control / "tes-token",
            default_image="docker.io/library/python:3-slim",
            allowed_data=self.allowed_data,
            step_limits=self.step_limits,
        )


@dataclass(frozen=True, kw_only=True)
class EngineRuns:
    """Makes runs of one engine; `workflow` is the attachment that runs where a test names no other."""

    installation: Installation
    tes: Tes
    workflow: str
    forked: ForkedEngine | None = None

    def new(self, attachments: Mapping[str, str], params: Mapping[str, Any] | None = None, **more: Any) -> EngineRun:
        """In a new folder, unless `folder` is given; `more` as in `EngineRun`."""
        engine = engine_named(self.installation.engine)
        assert engine is not None
        folder = more.pop("folder", None) or RunFolder(root=Path(tempfile.mkdtemp(prefix="run-", dir=self.tes.folder)))
        more.setdefault("workflow", self.workflow)
        more.setdefault("tes_url", self.tes.url)
        more.setdefault("forked", self.forked)
        return EngineRun(
            engine=engine,
            installation=self.installation,
            folder=folder,
            attachments=attachments,
            params=params or {},
            **more,
        )


@contextmanager
def forked_runs(name: str, installation: Installation, tes: Tes, workflow: str) -> Iterator[EngineRuns]:
    """`name`: as in `wes engines install NAME`."""
    with forked_engine(name, installation, foreign_identity(SANDBOX_UID)) as forked:
        yield EngineRuns(installation=installation, tes=tes, workflow=workflow, forked=forked)


@pytest.fixture(scope="session")
def cwl_runs(cwl_installation: Installation, tes: Tes) -> Iterator[EngineRuns]:
    with forked_runs("cwl", cwl_installation, tes, "main.cwl") as runs:
        yield runs


if __name__ == "__main__":
    # Before the tests, so that the progress of a long download is seen.
    for each in RECIPES:
        for number in each.versions:
            install_for_tests(each.folder_name, number)

"""`wes up` as a user starts it, for tests: started once, spoken to over HTTP only."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.http_client import http
from tests.program_server import NEEDS_EXEC, StartedProgram
from tests.waiting import PATIENCE, until
from wes_cli.private_server import free_port
from wes_service.core.run import TERMINAL

BASE = "/ga4gh/wes/v1"
OTHER_TES = os.environ.get("WES_TEST_TES_URL")
embedded_only = pytest.mark.skipif(OTHER_TES is not None, reason="about the embedded TES, and another one is given")
Form = Mapping[str, str]
Parts = list[tuple[str, tuple[str, bytes, str]]]


@dataclass(kw_only=True)
class Wes:
    """A running `wes up`. `url` is the base URL of the API."""

    data: Path
    engines: Path
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | StartedProgram | None" = None
    _log_start: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    def start(self) -> "Wes":
        """Returns when it is ready."""
        if self.process is not None:
            self.process.wait(60)
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Does not wait until it is ready."""
        chosen = ("--tes", OTHER_TES) if OTHER_TES and "--tes" not in self.options else ()
        arguments = ["up", "--data", str(self.data), "--port", str(self.port), *chosen, *self.options]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("WES_", "TES_"))},
            "WES_ENGINES": str(self.engines),
            # Whether a machine has containers is not for most tests to say: they name images that it need not have.
            "TES_RUNNER": "bubblewrap",
            # Nor is what the internet answers.
            "WES_ENGINE_NETWORK": "none",
            **self.environment,
        }
        self.data.mkdir(exist_ok=True)
        with (self.data / "up.log").open("ab") as log:
            self._log_start = log.tell()
            if NEEDS_EXEC.isdisjoint(environment):
                self.process = StartedProgram(arguments, environment, self.data / "up.log")
                return
            argv = [sys.executable, "-m", "wes_cli.main", *arguments]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, start_new_session=True)

    @property
    def is_running(self) -> bool:
        """Whether `wes up` was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def wait_until_ready(self) -> None:

        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"wes up ended:\n{self.said()}"
            # It says so a moment after it answers, and a test may end a program only once it has.
            return "ready   " in self.said() and self._answers()

        until(is_ready, lambda: f"wes up is not ready:\n{self.said()}", pause=0.1)

    def _answers(self) -> bool:
        try:
            return http.get(f"{self.url}/service-info").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def said(self) -> str:
        """What `wes up` printed since it was last started."""
        return (self.data / "up.log").read_bytes()[self._log_start :].decode(errors="replace")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ends it like Ctrl-C does; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def tree(self) -> list[psutil.Process]:
        """`wes up` and all that it started."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def commands(self) -> list[tuple[psutil.Process, list[str]]]:
        """Each process of `tree` with its command line; without those that ended meanwhile."""
        found = []
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append((process, process.cmdline()))
        return found

    def engine(self, run_id: str) -> psutil.Process:
        """The engine's own process: the last of those that came from a sandbox into which this run is mounted."""
        attachments = str(self.data / "runs" / run_id / "attachments")
        outermost = next(process for process, argv in self.commands() if attachments in argv)
        return [outermost, *outermost.children(recursive=True)][-1]

    def child(self, name: str) -> psutil.Process:
        """The program of the stack with this command, e.g. `worker`."""
        return next(process for process, argv in self.commands() if argv[:1] == [f"wes {name}"])

    def post(self, form: Form, parts: Parts | None = None, **options: Any) -> httpx.Response:
        """A POST /runs as curl sends it: every field a part."""
        fields: list[tuple[str, tuple[None, str]]] = [(name, (None, value)) for name, value in form.items()]
        return http.post(f"{self.url}/runs", files=[*fields, *(parts or [])], **options)

    def submit(self, form: Form, parts: Parts | None = None, **options: Any) -> str:
        response = self.post(form, parts, **options)
        assert response.status_code == 200, response.text
        return str(response.json()["run_id"])

    def get(self, path: str) -> Any:
        response = http.get(f"{self.url}{path}")
        assert response.status_code == 200, response.text
        return response.json()

    def state(self, run_id: str) -> str:
        return str(self.get(f"/runs/{run_id}/status")["state"])

    def wait(self, run_id: str, *states: str, seconds: float = PATIENCE) -> Any:
        """The run's log once it is in one of `states` (none given: any terminal one)."""
        wanted = set(states) or {state.value for state in TERMINAL}
        until(
            lambda: self.state(run_id) in wanted,
            lambda: f"not yet: {self.get(f'/runs/{run_id}')}\n{self.said()}",
            seconds,
            pause=0.1,
        )
        return self.get(f"/runs/{run_id}")


def attachment(name: str, content: bytes | str) -> tuple[str, tuple[str, bytes, str]]:
    """One `workflow_attachment` part."""
    data = content.encode() if isinstance(content, str) else content
    return ("workflow_attachment", (name, data, "application/octet-stream"))


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them is left within ten seconds."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    return not alive

"""The embedded TES as a program of its own, and a client that waits."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import waiting
from tests.program_server import StartedProgram
from wes_cli.private_server import free_port

TERMINAL = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"}
PATIENCE = 120.0
"""Seconds; much longer than anything takes on a machine that is not busy."""


class TesServer:
    """A TES with its data in `folder`; it may write to `folder/allow` and read `folder/data-in`.

    It is `wes tes`, forked from a process that has imported it; where `alone` was set, `python -m tes_service`.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.alone = False
        self.allow = _open_folder(folder / "allow")
        self.readable = _open_folder(folder / "data-in")
        self.data = folder / "tes"
        self.settings = settings
        self.client = httpx.Client(base_url="http://127.0.0.1")
        self.process: subprocess.Popen[bytes] | StartedProgram | None = None

    def start(self) -> None:
        port = free_port()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            "TES_DATA": str(self.data),
            "TES_PORT": str(port),
            "TES_ALLOW": str(self.allow),
            "TES_ALLOW_DATA": str(self.readable),
            "TES_RUNNER": "bubblewrap",
            "TES_FETCH_ALLOW": "127.0.0.0/8",
            **self.settings,
        }
        log = self.folder / "server.log"
        if self.alone:
            with log.open("ab") as out:
                argv = [sys.executable, "-m", "tes_service"]
                self.process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out)
        else:
            self.process = StartedProgram(["tes"], environment, log)
        self.client.close()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}/ga4gh/tes/v1", timeout=PATIENCE)
        until(self._answers, "the server answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        try:
            return self.client.get("/service-info").is_success
        except httpx.TransportError:
            return False

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGTERM)
        self.client.close()

    def submit(self, *command: str, **task: Any) -> str:
        """The id of a task with one executor; other fields as given."""
        executor = {"image": "debian:12", "command": list(command), **task.pop("executor", {})}
        return self.create({"executors": [executor], **task})

    def create(self, task: Mapping[str, Any]) -> str:
        response = self.client.post("/tasks", json=task)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def get(self, task_id: str, view: str = "FULL") -> Any:
        response = self.client.get(f"/tasks/{task_id}", params={"view": view})
        assert response.status_code == 200, response.text
        return response.json()

    def state(self, task_id: str) -> str:
        return str(self.get(task_id, "MINIMAL")["state"])

    def ended(self, task_id: str) -> Any:
        """The FULL view of a task once it is terminal."""
        until(lambda: self.state(task_id) in TERMINAL, f"task {task_id} ends")
        return self.get(task_id)

    def run(self, *command: str, **task: Any) -> Any:
        return self.ended(self.submit(*command, **task))

    def cancel(self, task_id: str) -> httpx.Response:
        return self.client.post(f"/tasks/{task_id}:cancel")


@contextmanager
def tes_server(folder: Path, **settings: str) -> Iterator[TesServer]:
    with running(TesServer(folder, **settings)) as server:
        yield server


@contextmanager
def running(server: TesServer) -> Iterator[TesServer]:
    try:
        server.start()
        yield server
    finally:
        server.close()


def until(holds: Callable[[], bool], what: str) -> None:
    waiting.until(holds, lambda: f"in {PATIENCE:g} seconds it did not come to be that {what}", PATIENCE, pause=0.01)


def processes_with(marker: str) -> list[int]:
    """Processes of this machine whose command line holds `marker`, but not those of a test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line:
                found.append(int(entry.name))
    return found


def _open_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


def log_of(task: Any) -> Any:
    """The only executor's log."""
    return task["logs"][0]["logs"][0]


def system_logs(task: Any) -> str:
    return "\n".join(task["logs"][0]["system_logs"])

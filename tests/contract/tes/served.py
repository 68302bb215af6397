"""The whole server in this process, but for its runner: nothing is started."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from tes_service.app import build
from tes_service.layout import Layout
from tes_service.processes import ExecutorStreams, RunningExecutor, StopSignal
from tes_service.runners.choose import AvailableRunners
from tes_service.runners.port import ExecutorRequest
from tes_service.server import listen
from tes_service.settings import TesSettings
from tes_service.store import TaskDatabase
from tes_service.task_request import TaskRequest

BASE = "/ga4gh/tes/v1"
EXECUTOR = {"image": "debian:12", "command": ["true"]}


class InstantRunner:
    """Ends each executor at once with the exit code that is its image's tag, having printed its command; one whose tag
    is `hold` runs until it is killed."""

    name = "instant"
    about = "not run at all"
    network = False
    uses_images = True

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None: ...

    def settle(self, request: TaskRequest, layout: Layout) -> None: ...

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        os.write(call.streams.stdout, " ".join(call.command).encode())
        tag = call.image.rpartition(":")[2]
        return _Held() if tag == "hold" else _Ended(int(tag))

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:  # noqa: ARG002
        return None

    def discard(self, task_id: str) -> None: ...

    def sweep(self, held: Callable[[str], bool]) -> None: ...


class _Ended:
    handle = ""
    pid = None
    out_of_memory = False

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def wait(self) -> int | None:
        return self._exit_code

    def kill(self) -> None: ...


class _Held:
    handle = ""
    pid = None
    out_of_memory = False

    def __init__(self) -> None:
        self._killed = threading.Event()

    def wait(self) -> int | None:
        self._killed.wait()
        return None

    def kill(self) -> None:
        self._killed.set()


class Tes:
    """A client of a served application, and its store to look into."""

    def __init__(self, client: httpx.Client, store: TaskDatabase) -> None:
        self.client = client
        self.store = store

    def post(self, **task: Any) -> httpx.Response:
        return self.client.post("/tasks", json={"executors": [EXECUTOR], **task})

    def create(self, **task: Any) -> str:
        response = self.post(**task)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def get(self, path: str, **parameters: Any) -> Any:
        response = self.client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def refusal(self, **task: Any) -> str:
        """What the server has to say to a task that it refuses."""
        response = self.post(**task)
        assert response.status_code == 400, response.text
        assert response.json()["status_code"] == 400
        return str(response.json()["msg"])

    def ended(self, task_id: str) -> Any:
        return self.reached(task_id, "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")

    def reached(self, task_id: str, *states: str) -> Any:
        """The FULL view once the task is in one of the states."""
        end = time.monotonic() + 20
        while self.get(f"/tasks/{task_id}")["state"] not in states:
            assert time.monotonic() < end
            time.sleep(0.005)
        return self.get(f"/tasks/{task_id}", view="FULL")


@contextmanager
def served(folder: Path, *, running: bool = True, **settings: Any) -> Iterator[Tes]:
    """With `running` False tasks stay QUEUED."""
    chosen = TesSettings(data=folder, port=0, runner="bubblewrap", **settings)
    with listen(chosen) as listener:
        app = build(chosen, AvailableRunners(first=InstantRunner()))
        server = uvicorn.Server(uvicorn.Config(app.asgi, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            if running:
                app.start()
            port = listener.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}{BASE}", timeout=20) as client:
                yield Tes(client, app.store)
        finally:
            server.should_exit = True
            thread.join()
            app.close()

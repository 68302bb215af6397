"""`serve` as a process of its own, on a real database and disk; Redis is not there, which no request notices."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.program_server import StartedProgram
from wes_cli.private_server import free_port
from wes_service.core.ports import WorkerInfo
from wes_service.settings import Settings
from wes_service.store.database import open_database

PROGRAM = "import sys; from wes_service.app import serve, Settings; sys.exit(serve(Settings()))"
BASE = "/ga4gh/wes/v1"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers at `url`; `pid` is its process."""

    port: int
    pid: int
    data: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    def peak_megabytes(self) -> float:
        """The largest resident size that the process ever had."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def say(self, request: bytes) -> bytes:
        """The raw answer to a raw request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def stored_files(self) -> list[str]:
        root = self.data / "runs"
        # Not rglob, which fails where a folder goes while it is looked into.
        found = [Path(folder, name) for folder, folders, files in os.walk(root) for name in (*folders, *files)]
        return sorted(str(path.relative_to(root)) for path in found if path.name != ".staging")


@contextmanager
def running_server(data: Path, before: str = "", **environment: str) -> Iterator[Server]:
    """A server with one live worker that has cwltool; ends with the block, and must end well.

    `before` is a program for its process that runs first.
    """
    port, log = free_port(), data / "server.log"
    variables = {
        "PATH": os.environ["PATH"],
        "WES_DATA": str(data),
        "WES_PORT": str(port),
        "WES_REDIS_URL": f"redis+socket://{data}/no-redis",
        **environment,
    }
    process = _started(before, variables, log)
    try:
        server = Server(port=port, pid=process.pid, data=data, log=log)
        _await(server, process)
        database = open_database(Settings(data=data).database)
        database.workers.beat(WorkerInfo(id="w", host="here", engines={"cwltool": ("3.1",)}))
        database.close()
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert process.returncode == 0, log.read_text()


def _started(before: str, variables: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes] | StartedProgram":
    log.write_bytes(b"")
    if not before:
        return StartedProgram(["api"], variables, log)
    with log.open("wb") as errors:
        return subprocess.Popen([sys.executable, "-c", before + PROGRAM], env=variables, stdout=errors, stderr=errors)


def _await(server: Server, process: "subprocess.Popen[bytes] | StartedProgram") -> None:
    for _ in range(300):
        assert process.poll() is None, server.log.read_text()
        try:
            httpx.get(f"http://127.0.0.1:{server.port}/healthz").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(server.log.read_text())

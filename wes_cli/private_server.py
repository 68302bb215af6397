"""A `wes up` that lives as long as one command: on a free port of loopback, in a data folder of its own."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wes_cli.client import WesClient
from wes_cli.errors import ClientError, NoServer

STARTS_WITHIN_SECONDS = 240
STOPS_WITHIN_SECONDS = 60


@contextmanager
def private_server(say: Callable[[str], None]) -> Iterator[str]:
    """Its URL; `ClientError` with its last words where it does not start. Its data are removed at the end."""
    # Below /var/tmp: steps of workflows have a /tmp of their own.
    data = Path(tempfile.mkdtemp(prefix="wes-up-", dir="/var/tmp"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    say(f"starting a server for this run: wes up --data {data} --port {port}")
    try:
        with _started(data, port) as process:
            _await(url, process, data / "up.log")
            yield url
    finally:
        shutil.rmtree(data, ignore_errors=True)


def free_port() -> int:
    """A port of loopback that nothing listens on at this moment."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def _started(data: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "wes_cli.main", "up", "--data", str(data), "--port", str(port)]
    # What the environment may say of a server is meant for another one.
    own = ["--host", "127.0.0.1", "--database", f"sqlite:///{data}/wes.sqlite"]
    with (data / "up.log").open("wb") as log:
        # A session of its own, so that Ctrl-C reaches this command alone; it ends when this process does.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command, *own],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            WesClient(url).service_info()
        except NoServer:
            pass
        else:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise ClientError(f"the server did not start: {log.read_text(errors='replace').strip()}")
        time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""A `wes up` that lives as long as one command, as `wes demo` and `wes-cwl-runner` start it where none is running."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wes_cli.client import WesClient
from wes_cli.errors import ClientError, ServerUnreachable

STARTS_WITHIN_SECONDS = 240
STOPS_WITHIN_SECONDS = 60

Process = subprocess.Popen[bytes]


@contextmanager
def private_server(report: Callable[[str], None]) -> Iterator[str]:
    """Starts one on a free loopback port with a data folder of its own, which is removed at the end; yields its URL.

    Raises `ClientError` with the end of its log where it does not start.
    """
    # Below /var/tmp: steps of workflows have a /tmp of their own.
    data = Path(tempfile.mkdtemp(prefix="wes-up-", dir="/var/tmp"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    report(f"starting a server for this run: wes up --data {data} --port {port}")
    # What the environment may say of a server is meant for another one.
    own = ["--host", "127.0.0.1", "--database", f"sqlite:///{data}/wes.sqlite"]
    log = data / "up.log"
    try:
        with log.open("wb") as output, running(["--data", str(data), "--port", str(port), *own], output) as process:
            _wait_until_ready(url, process, log)
            yield url
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def running(options: Sequence[str], output: IO[bytes] | None = None) -> Iterator[Process]:
    """`wes up` with these options, stopped at the end; it prints to `output`, or to the terminal.

    In a session of its own, so that Ctrl-C reaches only this command, which then stops it in order; it also ends when
    this process dies.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *wes_command(), "up", *options],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _stop(process)


def wes_command() -> list[str]:
    """The argv prefix of the command `wes` of this environment."""
    return [sys.executable, "-m", "wes_cli.main"]


def free_port() -> int:
    """A loopback port that nothing is listening on at this moment."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nothing is listening on this loopback port."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_ready(url: str, process: Process, log: Path) -> None:
    client = WesClient(url)
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            client.service_info()
        except ServerUnreachable:
            pass
        else:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise ClientError(f"the server did not start: {log.read_text(errors='replace').strip()}")
        time.sleep(0.1)


def _stop(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

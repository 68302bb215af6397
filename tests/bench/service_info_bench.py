"""GET /service-info a second, next to sapporo 2.4 on the same machine, in turn, with the same client.

    .venv/bin/python -m tests.bench.service_info_bench

sapporo is installed from its lock file into an environment of its own, and started as its documentation says: by its
own command, with nothing set but its port and its folder.
"""

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from sandbox.identity import foreign_identity
from tests.acceptance.clients.environments import installed
from tests.acceptance.stack import Wes
from tests.engine_fixtures import SANDBOX_UID, engines_folder, install_for_tests
from wes_cli.private_server import free_port

LOCKS = Path(__file__).parent / "locks"
TURNS = 5
SECONDS = 2.0
CONNECTIONS = (1, 32)
STARTS_WITHIN = 30.0


def main() -> None:
    install_for_tests("cwl")
    with tempfile.TemporaryDirectory(prefix="wes-bench-", dir="/var/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        wes = Wes(data=folder / "data", engines=engines_folder()).start()
        try:
            with sapporo(folder / "sapporo") as theirs:
                compare(f"{wes.url}/service-info", theirs)
        finally:
            wes.stop()


def compare(ours: str, theirs: str) -> None:
    for connections in CONNECTIONS:
        mine, peer = [], []
        for _ in range(TURNS):
            peer.append(asyncio.run(requests_per_second(theirs, connections)))
            mine.append(asyncio.run(requests_per_second(ours, connections)))
        ratios = [one / other for one, other in zip(mine, peer, strict=True)]
        print(
            f"service-info {connections:3} keep-alive connections: ours {statistics.median(mine):6.0f}/s, "
            f"sapporo {statistics.median(peer):6.0f}/s, ratio {statistics.median(ratios):5.2f} "
            f"(of {TURNS}: {min(ratios):.2f} to {max(ratios):.2f})"
        )


@contextmanager
def sapporo(folder: Path) -> Iterator[str]:
    """The URL of its service-info; as the user that foreign code runs as."""
    identity = foreign_identity(SANDBOX_UID)
    identity.make_folder(folder)
    identity.make_folder(folder / "runs")
    port = free_port()
    program = installed("sapporo-2.4.0", LOCKS) / "bin" / "sapporo"
    settings = {"SAPPORO_PORT": str(port), "SAPPORO_RUN_DIR": str(folder / "runs")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*identity.argv(), str(program)],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), **settings},
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}/service-info"
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        assert process.poll() is None, "sapporo ended"
        assert time.monotonic() < deadline, "sapporo does not answer"
        try:
            assert httpx.get(url, timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return


async def requests_per_second(url: str, connections: int) -> float:
    """Each connection asks again as soon as it has the whole answer."""
    until = time.perf_counter() + SECONDS
    began = time.perf_counter()
    counts = await asyncio.gather(*(_ask(url, until) for _ in range(connections)))
    return sum(counts) / (time.perf_counter() - began)


async def _ask(url: str, until: float) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n".encode()
    answered = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        answered += 1
    writer.close()
    await writer.wait_closed()
    return answered


if __name__ == "__main__":
    main()

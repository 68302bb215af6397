"""A real Redis for a test: the server that `wes up` would start, on a Unix socket."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE
from wes_cli.redis_server import find_redis, redis_argv


@contextmanager
def real_redis() -> Iterator[str]:
    """The URL of a server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="wes-redis-") as place:
        socket = Path(place) / "r.sock"
        argv = redis_argv(find_redis(Path(place), print), socket)
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.exists():
                assert time.monotonic() < deadline, "redis did not start"
                assert server.poll() is None, "redis ended"
                time.sleep(0.02)
            yield f"redis+socket://{socket}"
        finally:
            server.terminate()
            server.wait(10)

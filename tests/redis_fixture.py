"""A real Redis for a test: the server that `wes up` would start, on a Unix socket."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE
from wes_cli.redis_server import find_redis, redis_argv


class RedisServer:
    """A server that may be ended and started again, empty, at the same place; gone with the block."""

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="wes-redis-")
        self._socket = Path(self._place.name) / "r.sock"
        self.url = f"redis+socket://{self._socket}"

    def __enter__(self) -> "RedisServer":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._place.cleanup()

    @contextmanager
    def away(self) -> Iterator[None]:
        self._end()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        argv = redis_argv(find_redis(Path(self._place.name), print), self._socket)
        self._server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._socket.exists():
            assert time.monotonic() < deadline, "redis did not start"
            assert self._server.poll() is None, "redis ended"
            time.sleep(0.02)

    def _end(self) -> None:
        self._server.terminate()
        self._server.wait(10)
        self._socket.unlink(missing_ok=True)


@contextmanager
def real_redis() -> Iterator[str]:
    """The URL of a server that ends with the block."""
    with RedisServer() as server:
        yield server.url

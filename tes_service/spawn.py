"""Starts all task processes from one permanent thread: a parent-death signal fires when the thread that started a
process ends, not only when its process does (acceptance: sandbox, trap 7)."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Descriptors of stdin, stdout and stderr; they stay open in this process."""

    stdin: int
    stdout: int
    stderr: int


class Spawner:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def spawn(
        self, argv: Sequence[str], streams: Streams, environment: Mapping[str, str], keep: Sequence[int] = ()
    ) -> "subprocess.Popen[bytes]":
        """A process in a session of its own that dies with this one; it inherits the descriptors `keep`."""
        return self._thread.submit(
            subprocess.Popen,
            list(argv),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            env=dict(environment),
            pass_fds=tuple(keep),
            cwd="/",
            start_new_session=True,
        ).result()

    def close(self) -> None:
        """Only when every process has ended."""
        self._thread.shutdown()

"""The processes of executors: their streams, how they are started, and how they are told to end."""

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from tes_service.errors import TaskStopped


class StopSignal(Protocol):
    """Tells a task's thread to give up."""

    def check(self) -> None:
        """Raises `TaskStopped` once the task was told to end."""


class RunningExecutor(Protocol):
    """A started executor."""

    handle: str
    """What `Runner.attach` needs to find it after a restart of the server; empty where it dies with the server."""

    out_of_memory: bool
    """Once it has ended: whether the runner itself ended it for want of memory."""

    @property
    def pid(self) -> int | None:
        """The process of which all others come; None where the runner limits their memory by itself."""

    def wait(self) -> int | None:
        """Blocks until nothing of it is left; its exit code (128 + n for signal n), None where it was killed by `kill`.
        `TaskFault` where it never came to run."""

    def kill(self) -> None:
        """Ends all of its processes, soon; more than once is fine."""


class TaskControl:
    """Tells the thread of a task to give up, whatever it is doing; a stop that races a start never misses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._running: RunningExecutor | None = None

    @property
    def stopped(self) -> bool:
        """Whether the task was told to end."""
        return self._stopped.is_set()

    def check(self) -> None:
        """`TaskStopped` once the task was told to end."""
        if self._stopped.is_set():
            raise TaskStopped

    def stop(self) -> None:
        """Ends what runs, and all that would be started after it; more than once is fine."""
        self._stopped.set()
        with self._lock:
            if self._running is not None:
                self._running.kill()

    def run(self, start: Callable[[], RunningExecutor | None]) -> RunningExecutor | None:
        """Starts, which may take long, and kills what was started where `stop` came meanwhile."""
        self.check()
        running = start()
        with self._lock:
            self._running = running
            if running is not None and self._stopped.is_set():
                running.kill()
        return running

    def ended(self) -> None:
        """Nothing runs any more that `stop` would have to kill."""
        with self._lock:
            self._running = None


@dataclass(frozen=True, kw_only=True)
class ExecutorStreams:
    """Descriptors of stdin, stdout and stderr; they stay open in this process."""

    stdin: int
    stdout: int
    stderr: int


class Spawner:
    """Starts all executors from one permanent thread: a parent-death signal fires when the thread that started a
    process ends, not only when its process does (acceptance: sandbox, trap 7)."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def spawn(
        self, argv: Sequence[str], streams: ExecutorStreams, environment: Mapping[str, str], keep: Sequence[int] = ()
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

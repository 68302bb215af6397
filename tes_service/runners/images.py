"""Gets images, each once at a time, and remembers for a while which could not be had."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tes_service.errors import TaskFault
from tes_service.inputs import Stop
from tes_service.runners.engine import ContainerEngine, last_line

REMEMBERED = 60.0
STEP = 0.2


@dataclass(kw_only=True)
class _Known:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0
    problem: str = ""


@contextmanager
def _held(lock: threading.Lock, stop: Stop) -> Iterator[None]:
    """Waiting for another task's pull ends when this one is stopped."""
    while not lock.acquire(timeout=STEP):
        stop.check()
    try:
        yield
    finally:
        lock.release()


class Images:
    def __init__(self, engine: ContainerEngine, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def ensure(self, image: str, stop: Stop) -> None:
        """`TaskFault` where the image is not here and can't be pulled."""
        with self._lock:
            known = self._known.setdefault(image, _Known())
        with _held(known.lock, stop):
            if self._clock() >= known.until:
                known.problem = self._problem(image, stop)
                known.until = self._clock() + REMEMBERED
            if known.problem:
                raise TaskFault(f"the image {image} can't be had: {known.problem} {self._advice(image)}")

    def _advice(self, image: str) -> str:
        return f"(check its name, or get it on the machine of this TES: {self._engine.program} pull {image})"

    def _problem(self, image: str, stop: Stop) -> str:
        """An engine that is away says nothing about an image: it is waited for."""
        if self._is_here(image):
            return ""
        self._engine.patiently(lambda: self._engine.run(["version"]), stop)
        return "" if self._is_here(image) else self._pull(image, stop)

    def _is_here(self, image: str) -> bool:
        try:
            self._engine.run(["image", "inspect", "--format", "{{.Id}}", image])
        except TaskFault:
            return False
        return True

    def _pull(self, image: str, stop: Stop) -> str:
        """Why it could not be pulled; empty where it could."""
        process = subprocess.Popen(
            [self._engine.program, "pull", "--quiet", image],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(self._engine.environment()),
            text=True,
            errors="replace",
        )
        with process:
            try:
                return self._followed(process, stop)
            finally:
                if process.poll() is None:
                    process.kill()

    def _followed(self, process: "subprocess.Popen[str]", stop: Stop) -> str:
        end = self._clock() + self._seconds
        while self._clock() < end:
            stop.check()
            try:
                _, problem = process.communicate(timeout=STEP)
            except subprocess.TimeoutExpired:
                continue
            return last_line(problem) if process.returncode else ""
        return f"pulling it takes longer than {self._seconds:g} seconds"

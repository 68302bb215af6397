"""Whether this server can do its work now: every part is asked, each in a thread of its own, and none for long."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from wes_service.core.errors import WesError
from wes_service.core.json_types import Json
from wes_service.core.ports import WorkerStore
from wes_service.services.service_info import ALIVE_SECONDS

LOG = structlog.get_logger(__name__)
OK = "ok"
WAIT_SECONDS = 2.0
KEEP_SECONDS = 1.0
OLD_SECONDS = 10.0


class NotReady(WesError):
    """A part does not do its work now; the message is one sentence that anybody may read."""


Probe = Callable[[], None]
"""Asks one part; returns where it works, raises `NotReady` where not."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Each part by name, `ok` or a sentence; `asked` is on the monotonic clock."""

    parts: Mapping[str, str]
    asked: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        return all(told == OK for told in self.parts.values())

    def document(self) -> dict[str, Json]:
        """Where something is not ready, an error in the one shape, with the parts beside it."""
        if self.ready:
            return {"ready": True, "parts": dict(self.parts)}
        problems = [f"{name}: {told}" for name, told in self.parts.items() if told != OK]
        return {"msg": "; ".join(problems), "status_code": 503, "parts": dict(self.parts)}


class Part:
    """One part of the service; a probe that hangs holds one thread, however often it is asked for."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._thread: threading.Thread | None = None
        self._told = OK

    def begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            # A daemon, so that a probe that hangs does not keep the server from ending.
            self._thread = threading.Thread(target=self._ask, name=f"ready-{self._name}", daemon=True)
            self._thread.start()

    def end(self, deadline: float) -> str:
        """What the probe told; waits for it until `deadline`."""
        if self._thread is None:
            return OK
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return f"there is no answer after {WAIT_SECONDS:g} s" if self._thread.is_alive() else self._told

    def _ask(self) -> None:
        try:
            self._probe()
        except NotReady as error:
            self._told = str(error)
        except Exception as error:  # noqa: BLE001 - a driver's own words may hold addresses and are for the log only
            LOG.warning("not ready", action="ready", part=self._name, problem=str(error))
            self._told = "it can't be used; the server's log says why"
        else:
            self._told = OK


class Readiness:
    """Reports on all parts; asks them at most once a second, whoever and however many want to know."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._parts = {name: Part(name, probe) for name, probe in probes.items()}
        self._lock = threading.Lock()
        self._last: Report | None = None

    def report(self) -> Report:
        """Returns within three seconds. While another caller asks, it is the report from before."""
        last = self._last
        patience = 0.0 if last is not None and _age(last) < OLD_SECONDS else WAIT_SECONDS + 1
        if not self._lock.acquire(timeout=patience):
            return last or Report(parts=dict.fromkeys(self._parts, "it has not been asked yet"))
        try:
            if self._last is None or _age(self._last) >= KEEP_SECONDS:
                self._last = self._ask()
            return self._last
        finally:
            self._lock.release()

    def _ask(self) -> Report:
        for part in self._parts.values():
            part.begin()
        deadline = time.monotonic() + WAIT_SECONDS
        return Report(parts={name: part.end(deadline) for name, part in self._parts.items()})


def database_probe(workers: WorkerStore) -> Probe:
    """Reads the smallest of the tables."""

    def ask() -> None:
        workers.alive(ALIVE_SECONDS)

    return ask


def worker_probe(workers: WorkerStore) -> Probe:
    """Wants one worker that is alive."""

    def ask() -> None:
        if not workers.alive(ALIVE_SECONDS):
            raise NotReady("none is alive: runs are taken, but wait; start one with 'wes worker'")

    return ask


def _age(report: Report) -> float:
    return time.monotonic() - report.asked

"""Whether this server can answer its clients now: every part is asked, each in a thread of its own, and none for long.

What only runs need, a TES and workers, is told beside it: while they are away, status, cancel and lists are answered
and runs are taken, so no load balancer shall turn clients away.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from common.errors import WesError
from common.json_types import Json
from wes_service.core.ports import WorkerStore
from wes_service.services.service_info import ALIVE_SECONDS

LOG = structlog.get_logger(__name__)
COMPONENT_OK = "ok"
PROBE_TIMEOUT_SECONDS = 2.0
REPORT_CACHE_SECONDS = 1.0
STALE_REPORT_SECONDS = 10.0


class NotReady(WesError):
    """A part does not do its work now; the message is one sentence that anybody may read."""


Probe = Callable[[], None]
"""Asks one part; returns where it works, raises `NotReady` where not."""


@dataclass(frozen=True, kw_only=True)
class ReadinessReport:
    """Each part by name, `ok` or a sentence, and those that it can't do without; `asked` is on the monotonic clock."""

    parts: Mapping[str, str]
    needed: frozenset[str]
    asked: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        """Whether all that is needed works."""
        return not self._problems()

    def document(self) -> dict[str, Json]:
        """Where something needed is not there, an error in the one shape, with the parts beside it."""
        if self.ready:
            return {"ready": True, "parts": dict(self.parts)}
        return {"msg": "; ".join(self._problems()), "status_code": 503, "parts": dict(self.parts)}

    def _problems(self) -> list[str]:
        return [
            f"{name}: {status}" for name, status in self.parts.items() if name in self.needed and status != COMPONENT_OK
        ]


class ComponentProbe:
    """One component of the service; a probe that hangs holds one thread, however often it is asked for."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._thread: threading.Thread | None = None
        self._status = COMPONENT_OK

    def begin(self) -> None:
        """Starts to ask, unless the last probe still hangs."""
        if self._thread is None or not self._thread.is_alive():
            # A daemon, so that a probe that hangs does not keep the server from ending.
            self._thread = threading.Thread(target=self._ask, name=f"ready-{self._name}", daemon=True)
            self._thread.start()

    def end(self, deadline: float) -> str:
        """What the probe found; waits for it until `deadline`."""
        if self._thread is None:
            return COMPONENT_OK
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return f"there is no answer after {PROBE_TIMEOUT_SECONDS:g} s" if self._thread.is_alive() else self._status

    def _ask(self) -> None:
        try:
            self._probe()
        except NotReady as error:
            self._status = str(error)
        except Exception as error:  # noqa: BLE001 - a driver's own words may hold addresses and are for the log only
            LOG.warning("not ready", action="ready", part=self._name, problem=str(error))
            self._status = "it can't be used; the server's log says why"
        else:
            self._status = COMPONENT_OK


class Readiness:
    """Reports on all parts; asks them at most once a second, whoever and however many want to know.

    Without all that is `needed` the server is not ready; `others` are only reported.
    """

    def __init__(self, needed: Mapping[str, Probe], others: Mapping[str, Probe] = MappingProxyType({})) -> None:
        self._needed = frozenset(needed)
        self._parts = {name: ComponentProbe(name, probe) for name, probe in {**needed, **others}.items()}
        self._lock = threading.Lock()
        self._last: ReadinessReport | None = None

    def report(self) -> ReadinessReport:
        """Returns within three seconds. While another caller asks, it is the report from before."""
        last = self._last
        patience = 0.0 if last is not None and _age(last) < STALE_REPORT_SECONDS else PROBE_TIMEOUT_SECONDS + 1
        if not self._lock.acquire(timeout=patience):
            return last or self._report(dict.fromkeys(self._parts, "it has not been asked yet"))
        try:
            if self._last is None or _age(self._last) >= REPORT_CACHE_SECONDS:
                self._last = self._ask()
            return self._last
        finally:
            self._lock.release()

    def _ask(self) -> ReadinessReport:
        for part in self._parts.values():
            part.begin()
        deadline = time.monotonic() + PROBE_TIMEOUT_SECONDS
        return self._report({name: part.end(deadline) for name, part in self._parts.items()})

    def _report(self, parts: Mapping[str, str]) -> ReadinessReport:
        return ReadinessReport(parts=parts, needed=self._needed)


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


def _age(report: ReadinessReport) -> float:
    return time.monotonic() - report.asked

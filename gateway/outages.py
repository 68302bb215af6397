"""What is told of TES servers: counters for Prometheus, and outages for the logs of runs."""

import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter

log = structlog.get_logger(__name__)

NO_TES = "none"
"""Where a task has not been handed to a TES yet."""
SHORTEST_OUTAGE = 3.0
"""Seconds; what is over sooner is not told."""


class GatewayMetrics:
    """What the gateway counts as it goes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wes_tes_requests", "Requests to a TES", ("tes", "request", "outcome"), registry=self.registry
        )
        self._moves = Counter(
            "wes_task_moves", "How often a task came into a state", ("tes", "state"), registry=self.registry
        )

    def count_request(self, tes: str, request: str, outcome: str) -> None:
        """`request` is create, get, cancel or service-info; `outcome` is ok, refused or unreachable (HTTP 5xx too)."""
        self._requests.labels(tes, request, outcome).inc()

    def count_state(self, tes: str | None, state: str) -> None:
        """A task of that TES came into a state."""
        self._moves.labels(tes or NO_TES, state).inc()


class Outages:
    """Of one run, whichever and however many of its tasks meet them; `note` adds a line to its system log."""

    def __init__(self, run_id: str, note: Callable[[str], None], shortest: float = SHORTEST_OUTAGE) -> None:
        self._run_id = run_id
        self._note = note
        self._shortest = shortest
        self._since: dict[str, float] = {}
        self._noted: set[str] = set()

    def begin(self, what: str, problem: str) -> None:
        """`what` does not answer, or goes on not to."""
        since = self._since.setdefault(what, time.monotonic())
        if what not in self._noted and time.monotonic() - since >= self._shortest:
            self._noted.add(what)
            log.warning("waiting", action="outage", run_id=self._run_id, what=what, problem=problem)
            self._note(f"waiting for {what}: {problem}")

    def end(self, what: str) -> None:
        """`what` answers."""
        since = self._since.pop(what, None)
        if since is not None and what in self._noted:
            self._noted.remove(what)
            seconds = time.monotonic() - since
            log.info("answers again", action="outage_over", run_id=self._run_id, what=what, seconds=round(seconds))
            self._note(f"{what} answers again, after {seconds:.0f} s")

"""What Prometheus reads of a worker: its slots, its tasks by TES, and how each TES answers. No label names a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, GCCollector, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wes_service.core.errors import SettingsError

NO_TES = "none"
"""Where a task has not been handed to a TES yet."""


class Tally:
    """What the gateway counts as it goes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wes_tes_requests", "Requests to a TES", ("tes", "request", "outcome"), registry=self.registry
        )
        self._moves = Counter(
            "wes_task_moves", "How often a task came into a state", ("tes", "state"), registry=self.registry
        )

    def asked(self, tes: str, request: str, outcome: str) -> None:
        """`request` is create, get, cancel or service-info; `outcome` is ok, refused or unreachable (HTTP 5xx too)."""
        self._requests.labels(tes, request, outcome).inc()

    def moved(self, tes: str | None, state: str) -> None:
        """A task of that TES came into a state."""
        self._moves.labels(tes or NO_TES, state).inc()


class Slots(Protocol):
    """How many runs a worker may have at once, and has."""

    @property
    def slots(self) -> int: ...

    @property
    def used(self) -> int: ...


class WorkerNumbers(Collector):
    """Slots, and tasks that have not ended, at the moment of the question."""

    def __init__(self, slots: Slots, open_tasks: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._slots = slots
        self._open_tasks = open_tasks

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("wes_worker_slots", "Runs that this worker takes at once", value=self._slots.slots)
        yield GaugeMetricFamily("wes_worker_slots_used", "Runs that this worker has", value=self._slots.used)
        tasks = GaugeMetricFamily("wes_tasks_open", "Tasks that have not ended", labels=("tes", "state"))
        for (tes, state), number in self._open_tasks().items():
            tasks.add_metric((tes or NO_TES, state), number)
        yield tasks


def serve_metrics(tally: Tally, numbers: WorkerNumbers, host: str, port: int) -> Callable[[], None]:
    """Serves `/metrics` in a thread of its own; the result ends it. `SettingsError` where the port is taken."""
    tally.registry.register(numbers)
    ProcessCollector(registry=tally.registry)
    GCCollector(registry=tally.registry)
    try:
        server, thread = start_http_server(port, host, tally.registry)
    except OSError as error:
        problem = f"the worker's metrics can't be served on {host}:{port} ({error.strerror})"
        raise SettingsError(f"{problem}; choose another WES_METRICS_PORT") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop

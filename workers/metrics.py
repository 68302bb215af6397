"""What Prometheus reads of a worker: its slots, its tasks by TES, and how each TES answers. No label names a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import GCCollector, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import SettingsError
from gateway.outages import NO_TES, GatewayMetrics


class SlotUsage(Protocol):
    """How many runs a worker may have at once, and has; whether it takes no more, or none for want of disk."""

    @property
    def slots(self) -> int: ...

    @property
    def used(self) -> int: ...

    @property
    def draining(self) -> bool: ...

    @property
    def full(self) -> bool: ...


class WorkerMetrics(Collector):
    """Slots, and tasks that have not ended, at the moment of the question."""

    def __init__(self, slots: SlotUsage, open_tasks: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._slots = slots
        self._open_tasks = open_tasks

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: the samples are read at each scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges, in the order in which they are shown."""
        yield GaugeMetricFamily("wes_worker_slots", "Runs that this worker takes at once", value=self._slots.slots)
        yield GaugeMetricFamily("wes_worker_slots_used", "Runs that this worker has", value=self._slots.used)
        draining = float(self._slots.draining)
        yield GaugeMetricFamily("wes_worker_draining", "Whether this worker takes no more runs", value=draining)
        full = float(self._slots.full)
        yield GaugeMetricFamily("wes_worker_disk_full", "Whether no run is begun as the disk is full", value=full)
        tasks = GaugeMetricFamily("wes_tasks_open", "Tasks that have not ended", labels=("tes", "state"))
        for (tes, state), number in self._open_tasks().items():
            tasks.add_metric((tes or NO_TES, state), number)
        yield tasks


def serve_metrics(metrics: GatewayMetrics, numbers: WorkerMetrics, host: str, port: int) -> Callable[[], None]:
    """Serves `/metrics` in a thread of its own; the result ends it. `SettingsError` where the port is taken."""
    metrics.registry.register(numbers)
    ProcessCollector(registry=metrics.registry)
    GCCollector(registry=metrics.registry)
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        problem = f"the worker's metrics can't be served on {host}:{port} ({error.strerror})"
        raise SettingsError(f"{problem}; choose another WES_METRICS_PORT") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop

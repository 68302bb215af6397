"""What Prometheus and /readyz ask: the numbers of this process and of the store, and whether each TES answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import httpx
import structlog
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from common.configuration import TesServer
from common.errors import SettingsError
from common.masking import bare_url
from tes.credentials import NoToken, TesCredentials
from tes.http import tes_client
from wes_service.api.middleware import operation_of
from wes_service.core.links import TES_PATH
from wes_service.core.notification import NotificationStore
from wes_service.core.ports import Clock, RunStore, WorkerStore
from wes_service.core.run import RunState
from wes_service.services.readiness import NotReady, Probe
from wes_service.services.service_info import ALIVE_SECONDS

LOG = structlog.get_logger(__name__)
TES_PROBE_SECONDS = 2.0
TES_REFUSALS = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
OF_A_RUN = "-"
"""In the place of a hook's name: runs' own."""
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""In seconds."""


class Metrics:
    """All that one API process counts, and what it reads of the stores when it is asked."""

    def __init__(self, collector: "StoreCollector", pages: Mapping[str, str]) -> None:
        """`pages`: names of paths that are no operations of a document, or are answered before it is looked at."""
        self._pages = pages
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wes_http_requests",
            "Requests answered, by operation of the API",
            ("operation", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "wes_http_request_seconds",
            "Time from a request's head to the end of its answer",
            ("operation",),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._received = Counter("wes_attachment_bytes", "Bytes of attachments received", registry=self.registry)
        self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def observe(self, scope: Scope, status: str, seconds: float) -> None:
        """Counts a request that was answered; see `middleware.Observer`."""
        operation, method = self._operation(scope), scope["method"]
        self._requests.labels(operation, method if method in HTTP_METHODS else OTHER, status).inc()
        self._seconds.labels(operation).observe(seconds)

    def _operation(self, scope: Scope) -> str:
        """Never a text that a client chose: each value of a label is kept for ever."""
        found = operation_of(scope)
        if found is None:
            return self._pages.get(scope["path"], OTHER) if scope["method"] in {"GET", "HEAD"} else OTHER
        base_path, operation_id = found
        return f"Tes{operation_id}" if base_path == TES_PATH else operation_id

    def received(self, size: int) -> None:
        """That many bytes of attachments came with a request."""
        self._received.inc(size)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class StoreCollector(Collector):
    """Runs by state, how long the oldest one waits, workers and notifications: the same from every API process."""

    def __init__(self, runs: RunStore, workers: WorkerStore, notifications: NotificationStore, clock: Clock) -> None:
        self._runs = runs
        self._workers = workers
        self._notifications = notifications
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: else the registry would read the database when the server is put together."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Reads the store; of a database that is away only that is told."""
        up = GaugeMetricFamily("wes_database_up", "Whether the database could be read")
        try:
            found = [*self._read()]
        except Exception as error:  # noqa: BLE001 - the other metrics matter most when the database is away
            LOG.warning("the database can't be read", action="metrics", problem=str(error))
            found = []
        up.add_metric((), 1 if found else 0)
        yield up
        yield from found

    def _read(self) -> Iterator[Metric]:
        counts = self._runs.counts()
        runs = GaugeMetricFamily("wes_runs", "Runs by state", labels=("state",))
        for state in RunState:
            runs.add_metric((state.value,), counts.get(state, 0))
        yield runs
        waits = _seconds_since(self._runs.oldest_queued(), self._clock.now())
        yield GaugeMetricFamily("wes_queue_oldest_seconds", "How long the oldest QUEUED run waits", value=waits)
        alive = len(self._workers.alive(ALIVE_SECONDS))
        yield GaugeMetricFamily("wes_workers_alive", "Workers that have reported of late", value=alive)
        told = GaugeMetricFamily(
            "wes_notifications", "Notifications that wait, or have failed", labels=("hook", "state")
        )
        for (hook, standing), number in sorted(self._notifications.counts().items()):
            told.add_metric((hook or OF_A_RUN, standing.value), number)
        yield told


def _seconds_since(then: datetime | None, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds()) if then is not None else 0.0


def tes_probes(servers: Sequence[TesServer]) -> Mapping[str, Probe]:
    """One probe for each TES, by its URL without credentials."""
    return {f"tes {bare_url(server.url)}": _probe(server) for server in servers}


def _probe(server: TesServer) -> Probe:
    credentials = TesCredentials(server)

    def ask() -> None:
        try:
            headers = credentials.headers()
            status = _status(server, headers)
            if status == httpx.codes.UNAUTHORIZED and credentials.renew(headers):
                status = _status(server, credentials.headers())
        except (SettingsError, NoToken) as error:
            LOG.warning(str(error), action="ready", tes=server.name)
            raise NotReady(f"its credentials can't be had; see {_where(server)}") from None
        if status in TES_REFUSALS:
            raise NotReady(f"it refuses the credentials of {_where(server)} (HTTP {status})")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise NotReady(f"it answers HTTP {status}")

    return ask


def _where(server: TesServer) -> str:
    """Without paths, as anybody may read it."""
    return "WES_TES_TOKEN_FILE" if server.file is None else f"[tes.{server.name}] of {server.file.name}"


def _status(server: TesServer, headers: Mapping[str, str]) -> int:
    """Of the answer's head alone: the rest, which may be long or never end, is of no interest."""
    try:
        with (
            tes_client(server.url, TES_PROBE_SECONDS, server.ca_file) as client,
            client.stream("GET", "/service-info", headers=headers) as response,
        ):
            return response.status_code
    except httpx.TimeoutException:
        raise NotReady(f"there is no answer after {TES_PROBE_SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        where = "WES_TES_URLS" if server.file is None else _where(server)
        raise NotReady(f"it can't be reached; see {where}") from None

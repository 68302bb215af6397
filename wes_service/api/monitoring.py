"""What load balancers and Prometheus ask: /healthz, /readyz and /metrics, and whether each TES answers."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import httpx
import structlog
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import SettingsError
from common.masking import bare_url
from common.settings import read_token
from tes.http import tes_client
from wes_service.api.edge import AsgiApp, Message, Receive, Scope, Send
from wes_service.core.ports import Clock, RunStore, WorkerStore
from wes_service.core.run import RunState
from wes_service.services.readiness import NotReady, Probe
from wes_service.services.service_info import ALIVE_SECONDS
from wes_service.settings import TesServer

SECONDS = 2.0
REFUSALS = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


def tes_probes(servers: Sequence[TesServer]) -> Mapping[str, Probe]:
    """One probe for each TES, by its URL without credentials."""
    return {f"tes {bare_url(server.url)}": _probe(server.url, server.token_file) for server in servers}


def _probe(url: str, token_file: Path | None) -> Probe:
    def ask() -> None:
        status = _status(url, _headers(token_file))
        if status in REFUSALS:
            raise NotReady(f"it refuses the token of WES_TES_TOKEN_FILE (HTTP {status})")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise NotReady(f"it answers HTTP {status}")

    return ask


def _headers(token_file: Path | None) -> dict[str, str]:
    try:
        token = read_token(token_file)
    except SettingsError:
        raise NotReady("its token file (WES_TES_TOKEN_FILE) can't be read") from None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _status(url: str, headers: Mapping[str, str]) -> int:
    """Of the answer's head alone: the rest, which may be long or never end, is of no interest."""
    try:
        with tes_client(url, SECONDS) as client, client.stream("GET", "/service-info", headers=headers) as response:
            return response.status_code
    except httpx.TimeoutException:
        raise NotReady(f"there is no answer after {SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        raise NotReady("it can't be reached; see WES_TES_URLS") from None


HEALTH_PATH = "/healthz"
BODY = b"ok\n"
HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(BODY)).encode())]


class Alive:
    """ASGI middleware before the edge: it says the same to everybody."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH_PATH or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else BODY})


LOG = structlog.get_logger(__name__)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


class Operations:
    """Names of operations by method and path template (`/runs/{run_id}`; `{path}` at the end takes any depth)."""

    def __init__(self, named: Mapping[tuple[str, str], str]) -> None:
        self._exact = {key: name for key, name in named.items() if "{" not in key[1]}
        self._patterns: dict[tuple[str, int], list[tuple[tuple[str, ...], str]]] = {}
        self._deep: list[tuple[str, tuple[str, ...], str]] = []
        for (method, template), name in named.items():
            words = tuple(template.split("/"))
            if words[-1] == "{path}":
                self._deep.append((method, words[:-1], name))
            elif "{" in template:
                self._patterns.setdefault((method, len(words)), []).append((words, name))

    def name(self, method: str, path: str) -> str:
        """The operation that a request asks for; `other` where there is none."""
        method = "GET" if method == "HEAD" else method
        found = self._exact.get((method, path))
        return found or self._matched(method, path.split("/"))

    def _matched(self, method: str, words: list[str]) -> str:
        for pattern, name in self._patterns.get((method, len(words)), ()):
            if _fits(pattern, words):
                return name
        for taken, pattern, name in self._deep:
            if taken == method and len(words) > len(pattern) and _fits(pattern, words):
                return name
        return OTHER


def _fits(pattern: Iterable[str], words: list[str]) -> bool:
    return all(wanted[:1] == "{" or wanted == word for wanted, word in zip(pattern, words, strict=False))


class Metrics:
    """All that one API process counts, and what it reads of the stores when it is asked."""

    def __init__(self, runs: RunStore, workers: WorkerStore, clock: Clock) -> None:
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
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._received = Counter("wes_attachment_bytes", "Bytes of attachments received", registry=self.registry)
        self.registry.register(StoredNumbers(runs, workers, clock))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def answered(self, operation: str, method: str, status: str, seconds: float) -> None:
        self._requests.labels(operation, method if method in METHODS else OTHER, status).inc()
        self._seconds.labels(operation).observe(seconds)

    def received(self, size: int) -> None:
        """That many bytes of attachments came with a request."""
        self._received.inc(size)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)


class StoredNumbers(Collector):
    """Runs by state, how long the oldest one waits, and workers: the same from every API process."""

    def __init__(self, runs: RunStore, workers: WorkerStore, clock: Clock) -> None:
        self._runs = runs
        self._workers = workers
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: else the registry would read the database when the server is put together."""
        return ()

    def collect(self) -> Iterator[Metric]:
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


def _seconds_since(then: datetime | None, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds()) if then is not None else 0.0


class Measured:
    """ASGI middleware around all others: counts and times what they answer."""

    def __init__(self, app: AsgiApp, metrics: Metrics, operations: Operations) -> None:
        self._app = app
        self._metrics = metrics
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = "none"

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            operation = self._operations.name(scope["method"], scope["path"].rstrip("/") or "/")
            self._metrics.answered(operation, scope["method"], status, time.perf_counter() - began)

"""The HTTP side put together: Connexion's middleware around the API's operations, and the pages beside them."""

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata

from anyio import CapacityLimiter
from cachetools import TTLCache, cached
from connexion import ConnexionMiddleware
from connexion.resolver import Resolver
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from common.browsers import policy
from common.configuration import tes_choices
from common.engine import Engine
from wes_service.api import docs
from wes_service.api.event_stream import EventStreams
from wes_service.api.forms import UPLOADS, FormLimits
from wes_service.api.middleware import HEALTH_PATH, ApiMiddleware, ResponseCache, caller_of
from wes_service.api.monitoring import Metrics, StoreCollector
from wes_service.api.notifications import NotificationHandlers
from wes_service.api.operations import ApiRouting, OperationsMiddleware
from wes_service.api.responses import json_response
from wes_service.api.runs import RunHandlers, run_operations
from wes_service.api.tes_view import TesHandlers
from wes_service.auth.access import AccessPolicy, BearerAuth
from wes_service.core.links import TES_PATH, WES_PATH
from wes_service.core.notification import NotificationStore
from wes_service.core.ports import Clock, RunQueue, RunStore, TaskStore, WorkerInfo, WorkerStore
from wes_service.services.deletion import Deleter
from wes_service.services.event_feed import RunEventFeed
from wes_service.services.notifications import NotificationReader
from wes_service.services.readiness import Probe, Readiness, database_probe, worker_probe
from wes_service.services.resumption import Resumer
from wes_service.services.runs import RunReader
from wes_service.services.service_info import AUTH_PATH, ServiceInfo
from wes_service.services.submission import WORKER_SEEN_SECONDS, CachedWorkers, Submitter
from wes_service.services.tes_reader import TesReader
from wes_service.services.waiting import WaitingRuns
from wes_service.settings import Settings
from wes_service.storage.inherited_attachments import EndedRuns
from wes_service.storage.run_folders import RunFolders, StagingFolder

ROOT_PATH = "/"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"
SERVICE_INFO_PATHS = {f"{WES_PATH}/service-info": "GetServiceInfo", f"{TES_PATH}/service-info": "TesGetServiceInfo"}
OPEN_PATHS = docs.docs_paths() | {*SERVICE_INFO_PATHS, HEALTH_PATH, READY_PATH, AUTH_PATH, ROOT_PATH}
METRIC_NAMES = {
    **SERVICE_INFO_PATHS,
    **dict.fromkeys(docs.docs_paths(), "Reference"),
    HEALTH_PATH: "Health",
    READY_PATH: "Ready",
    METRICS_PATH: "Metrics",
    AUTH_PATH: "AuthInstructions",
    ROOT_PATH: "Root",
}
AUTH_NEEDED = "Send the token that this server's operator gave you with every request: 'Authorization: Bearer TOKEN'.\n"
AUTH_FREE = "This server needs no token: it serves the account that started it, and root, on its own machine.\n"


@dataclass(frozen=True, kw_only=True)
class ApiDependencies:
    """What the API stands on; `token` is None where callers need none; `probes` ask what else is there.

    `uids`: the accounts of this machine that are served, where no token decides; None: any.
    What service-info and submitting know of workers may be `cache_seconds` old.
    """

    runs: RunStore
    tasks: TaskStore
    workers: WorkerStore
    notifications: NotificationStore
    queue: RunQueue
    clock: Clock
    folders: RunFolders
    engines: Sequence[Engine]
    token: str | None
    uids: frozenset[int] | None = None
    cache_seconds: float = 0.5
    probes: Mapping[str, Probe] = field(default_factory=dict)

    @property
    def token_needed(self) -> bool:
        """Whether callers must send a token."""
        return self.token is not None


def create_api(dependencies: ApiDependencies, settings: Settings) -> ConnexionMiddleware:
    """The ASGI app; settings give limits, names and origins only."""
    info = ServiceInfo(
        runs=dependencies.runs,
        workers=dependencies.workers,
        engines=dependencies.engines,
        version=metadata.version("wes-tes"),
        token_needed=dependencies.token_needed,
        tes_choices=tes_choices(settings.tes_servers),
    )
    collector = StoreCollector(dependencies.runs, dependencies.workers, dependencies.notifications, dependencies.clock)
    metrics = Metrics(collector, METRIC_NAMES)
    wes, tes = docs.wes_document(), docs.tes_document()
    pages = [*docs.docs_routes((wes, tes)), *_pages(dependencies), *_operators_pages(dependencies, metrics)]
    cache = partial(ResponseCache, paths=frozenset(SERVICE_INFO_PATHS), seconds=dependencies.cache_seconds)
    app = ConnexionMiddleware(
        Router(pages, redirect_slashes=False),
        import_name="wes_service",
        middlewares=[
            partial(ApiMiddleware, access=_access(dependencies, settings), observe=metrics.observe),
            cache,
            ApiRouting,
            OperationsMiddleware,
        ],
    )
    handlers = _run_handlers(dependencies, settings, metrics)
    tes_handlers = TesHandlers(reader=TesReader(tasks=dependencies.tasks), info=info)
    wes_operations = {
        **run_operations(handlers, info.document),
        **_notification_handlers(dependencies).operations(),
        "StreamEvents": EventStreams(runs=dependencies.runs, feed=RunEventFeed(dependencies.runs)).stream,
    }
    for document, operations in ((wes, wes_operations), (tes, tes_handlers.operations())):
        app.add_api(dict(document.content), base_path=document.base_path, resolver=Resolver(operations.__getitem__))
    return app


def _run_handlers(dependencies: ApiDependencies, settings: Settings, metrics: Metrics) -> RunHandlers:
    runs, folders = dependencies.runs, dependencies.folders
    submitter = _submitter(dependencies, settings)
    waiting = WaitingRuns(runs=runs, workers=dependencies.workers)
    return RunHandlers(
        submitter=submitter,
        resumer=Resumer(runs=runs, submitter=submitter, attachments=EndedRuns(folders)),
        reader=RunReader(runs=runs, tasks=dependencies.tasks, files=folders, waiting=waiting),
        deleter=Deleter(runs=runs, queue=dependencies.queue),
        runs=runs,
        folders=folders,
        engines=dependencies.engines,
        limits=_limits(settings),
        received=metrics.received,
        uploads=CapacityLimiter(UPLOADS),
    )


def _notification_handlers(dependencies: ApiDependencies) -> NotificationHandlers:
    store, queue, clock = dependencies.notifications, dependencies.queue, dependencies.clock
    return NotificationHandlers(reader=NotificationReader(store=store, queue=queue, clock=clock))


def _submitter(dependencies: ApiDependencies, settings: Settings) -> Submitter[StagingFolder]:
    return Submitter(
        runs=dependencies.runs,
        workers=_cached_workers(dependencies.workers, dependencies.cache_seconds),
        queue=dependencies.queue,
        clock=dependencies.clock,
        folders=dependencies.folders,
        engines=dependencies.engines,
        tes_choices=tes_choices(settings.tes_servers),
        webhooks=settings.webhook_secret_file is not None,
        max_run_time=settings.max_run_time,
    )


def _cached_workers(workers: WorkerStore, seconds: float) -> CachedWorkers:
    cache: TTLCache[Hashable, Sequence[WorkerInfo]] = TTLCache(1, seconds)
    return cached(cache, lock=threading.Lock())(lambda: workers.alive(WORKER_SEEN_SECONDS))


def _limits(settings: Settings) -> FormLimits:
    return FormLimits(
        request=settings.max_request_bytes,
        field=settings.max_field_bytes,
        attachment=settings.max_attachment_bytes,
        attachments=settings.max_attachments,
    )


def _access(dependencies: ApiDependencies, settings: Settings) -> AccessPolicy:
    return AccessPolicy(
        auth=BearerAuth(token=dependencies.token),
        browsers=policy(
            token=dependencies.token_needed,
            origins=settings.cors_origins,
            host=settings.host,
            public_url=settings.public_url,
        ),
        public_url=settings.public_url,
        open_paths=OPEN_PATHS,
        uids=dependencies.uids,
    )


def _operators_pages(dependencies: ApiDependencies, metrics: Metrics) -> list[Route]:
    needed = {"database": database_probe(dependencies.workers), "redis": dependencies.queue.check}
    readiness = Readiness(needed, {"workers": worker_probe(dependencies.workers), **dependencies.probes})

    def ready(_request: Request) -> Response:
        report = readiness.report()
        return json_response(report.document(), 200 if report.ready else 503)

    def numbers(_request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    return [Route(READY_PATH, ready), Route(METRICS_PATH, numbers)]


def _pages(dependencies: ApiDependencies) -> list[Route]:
    def root(request: Request) -> Response:
        base = caller_of(request.scope).links.base
        return json_response(
            {
                "name": "WES-TES: workflows by the GA4GH Workflow Execution Service API",
                "service_info": f"{base}{WES_PATH}/service-info",
                "runs": f"{base}{WES_PATH}/runs",
                "documentation": base + docs.DOCS_PATH,
                "authentication": base + AUTH_PATH,
            }
        )

    def health(_request: Request) -> Response:
        """Never called: the middleware answers; here for a 405 to other methods."""
        return PlainTextResponse("ok\n")

    def auth(_request: Request) -> Response:
        return PlainTextResponse(AUTH_NEEDED if dependencies.token_needed else AUTH_FREE)

    return [Route(ROOT_PATH, root), Route(HEALTH_PATH, health), Route(AUTH_PATH, auth)]

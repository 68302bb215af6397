"""The whole HTTP side, put together from parts that are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata

import flask
from prometheus_client import CONTENT_TYPE_LATEST

from common.browsers import policy
from common.engine import Engine
from wes_service.api import docs
from wes_service.api.connexion_app import Around, WesApp, build, caller
from wes_service.api.docs import Document, tes_document, wes_document
from wes_service.api.edge import Gate
from wes_service.api.forms import FormLimits
from wes_service.api.monitoring import HEALTH_PATH, Measured, Metrics, Operations
from wes_service.api.remembered import Remembered
from wes_service.api.replies import json_response
from wes_service.api.runs import RunHandlers, handlers
from wes_service.api.tes_view import TesHandlers
from wes_service.auth.bearer import BearerAuth
from wes_service.core.links import TES_PATH, WES_PATH
from wes_service.core.ports import Clock, RunQueue, RunStore, TaskStore, WorkerStore
from wes_service.services.deletion import Deleter
from wes_service.services.readiness import Probe, Readiness, database_probe, worker_probe
from wes_service.services.recent import Recent
from wes_service.services.runs import RunReader
from wes_service.services.service_info import AUTH_PATH, ServiceInfo
from wes_service.services.submission import SEEN_SECONDS, Submitter
from wes_service.services.tes_reader import TesReader
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders, StagingFolder

ROOT_PATH = "/"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"
OPEN_PATHS = docs.paths() | {
    f"{WES_PATH}/service-info",
    f"{TES_PATH}/service-info",
    HEALTH_PATH,
    READY_PATH,
    AUTH_PATH,
    ROOT_PATH,
}
SAME_FOR_ALL = frozenset({f"{WES_PATH}/service-info", f"{TES_PATH}/service-info"})
AUTH_NEEDED = "Send the token that this server's operator gave you with every request: 'Authorization: Bearer TOKEN'.\n"
AUTH_FREE = "This server needs no token: it serves the account that started it, and root, on its own machine.\n"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the API stands on; `token` is None where callers need none; `probes` ask what else is there.

    `uids`: the accounts of this machine that are served, where no token decides; None: any.
    What service-info and submitting know of workers may be `remember_seconds` old.
    """

    runs: RunStore
    tasks: TaskStore
    workers: WorkerStore
    queue: RunQueue
    clock: Clock
    folders: RunFolders
    engines: Sequence[Engine]
    token: str | None
    uids: frozenset[int] | None = None
    remember_seconds: float = 0.5
    probes: Mapping[str, Probe] = field(default_factory=dict)


def create_app_with(parts: Parts, settings: Settings) -> WesApp:
    """The ASGI app; settings give limits, names and origins only."""
    reader = RunReader(runs=parts.runs, tasks=parts.tasks, files=parts.folders)
    info = ServiceInfo(
        runs=parts.runs,
        workers=parts.workers,
        engines=parts.engines,
        version=metadata.version("wes-tes"),
        token_needed=parts.token is not None,
    )
    metrics = Metrics(parts.runs, parts.workers, parts.clock)
    runs = RunHandlers(
        submitter=_submitter(parts),
        reader=reader,
        deleter=Deleter(runs=parts.runs, queue=parts.queue),
        runs=parts.runs,
        folders=parts.folders,
        engines=parts.engines,
        limits=_limits(settings),
        received=metrics.received,
    )
    documents = (wes_document(), tes_document())
    around = Around(
        edge=partial(Measured, metrics=metrics, operations=_operations(documents)),
        routing=partial(Remembered, paths=SAME_FOR_ALL, seconds=parts.remember_seconds),
    )
    app = build(documents[0].content, WES_PATH, handlers(runs, info.document), _gate(parts, settings), around)
    tes = TesHandlers(reader=TesReader(tasks=parts.tasks), info=info)
    app.app.register_blueprint(tes.blueprint())
    app.app.register_blueprint(docs.blueprint(documents))
    _add_pages(app.app, token_needed=parts.token is not None)
    _add_operators_pages(app.app, _readiness(parts), metrics)
    return app


def _submitter(parts: Parts) -> Submitter[StagingFolder]:
    return Submitter(
        runs=parts.runs,
        workers=Recent(lambda: parts.workers.alive(SEEN_SECONDS), parts.remember_seconds),
        queue=parts.queue,
        clock=parts.clock,
        folders=parts.folders,
        engines=parts.engines,
    )


def _limits(settings: Settings) -> FormLimits:
    return FormLimits(
        request=settings.max_request_bytes,
        field=settings.max_field_bytes,
        attachment=settings.max_attachment_bytes,
        attachments=settings.max_attachments,
    )


def _gate(parts: Parts, settings: Settings) -> Gate:
    needed = parts.token is not None
    return Gate(
        auth=BearerAuth(token=parts.token),
        browsers=policy(
            token=needed, origins=settings.cors_origins, host=settings.host, public_url=settings.public_url
        ),
        public_url=settings.public_url,
        open_paths=OPEN_PATHS,
        uids=parts.uids,
    )


def _operations(documents: Sequence[Document]) -> Operations:
    """What requests are counted under: the documents' operations, those of TES with that word before, and pages."""
    names = {key: name for document in documents[:1] for key, name in document.names().items()}
    names |= {key: f"Tes{name}" for document in documents[1:] for key, name in document.names().items()}
    pages = dict.fromkeys(docs.paths(), "Reference")
    pages |= {HEALTH_PATH: "Health", READY_PATH: "Ready", METRICS_PATH: "Metrics", AUTH_PATH: "AuthInstructions"}
    pages[ROOT_PATH] = "Root"
    return Operations(names | {("GET", path): name for path, name in pages.items()})


def _readiness(parts: Parts) -> Readiness:
    needed = {"database": database_probe(parts.workers), "redis": parts.queue.check}
    return Readiness(needed, {"workers": worker_probe(parts.workers), **parts.probes})


def _add_operators_pages(app: flask.Flask, readiness: Readiness, metrics: Metrics) -> None:
    def ready() -> flask.Response:
        report = readiness.report()
        response = json_response(report.document())
        response.status_code = 200 if report.ready else 503
        return response

    def numbers() -> flask.Response:
        return flask.Response(metrics.text(), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

    app.add_url_rule(READY_PATH, "ready", ready)
    app.add_url_rule(METRICS_PATH, "metrics", numbers)


def _add_pages(app: flask.Flask, *, token_needed: bool) -> None:
    def page(text: str) -> flask.Response:
        return flask.Response(text, mimetype="text/plain")

    def root() -> flask.Response:
        base = caller().links.base
        return json_response(
            {
                "name": "WES-TES: workflows by the GA4GH Workflow Execution Service API",
                "service_info": f"{base}{WES_PATH}/service-info",
                "runs": f"{base}{WES_PATH}/runs",
                "documentation": base + docs.DOCS_PATH,
                "authentication": base + AUTH_PATH,
            }
        )

    app.add_url_rule(ROOT_PATH, "root", root)
    # `Alive` answers before Flask does; this is for what it leaves, such as a 405 for other methods.
    app.add_url_rule(HEALTH_PATH, "health", lambda: page("ok\n"))
    app.add_url_rule(AUTH_PATH, "auth", lambda: page(AUTH_NEEDED if token_needed else AUTH_FREE))

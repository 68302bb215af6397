"""Handlers of runs, their tasks, logs and outputs; keyed by operationId in `handlers`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flask
import structlog

from common.engine import Engine
from common.errors import LogNotFound
from common.json_types import Json
from wes_service.api.connexion_app import Handler, caller
from wes_service.api.errors import UnsupportedMediaType
from wes_service.api.files import media_type, output_response, text_response
from wes_service.api.forms import Body, FormLimits, read_form
from wes_service.api.replies import json_response
from wes_service.core.links import SCHEME, STREAMS, Links, OutputFile, location_of
from wes_service.core.ports import RunStore
from wes_service.services.deletion import Deleter
from wes_service.services.runs import PAGE_SIZE, RunReader, run_filter
from wes_service.services.submission import FIELDS, Submitter
from wes_service.storage.run_folders import RunFolders, StagingFolder

LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunHandlers:
    """One method per operation; parameters are those of the document."""

    submitter: Submitter[StagingFolder]
    reader: RunReader
    deleter: Deleter
    runs: RunStore
    folders: RunFolders
    engines: Sequence[Engine]
    limits: FormLimits
    received: Callable[[int], None]
    """Told the bytes of attachments that came with each form."""

    def submit(self) -> flask.Response:
        request = flask.request
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType("Content-Encoding: send the form as it is, not packed")
        body = Body(
            content_type=request.headers.get("Content-Type", ""),
            length=request.content_length,
            read=request.environ["wsgi.input"].read,
        )
        with self.folders.stage() as staging:
            fields = read_form(body, FIELDS, self.limits, staging)
            self.received(staging.received)
            key = request.headers.get("Idempotency-Key")
            run_id = self.submitter.submit(caller().owner, fields, staging, key)
        return json_response({"run_id": run_id})

    def page(self, page_size: int = PAGE_SIZE, page_token: str = "", **filters: Any) -> flask.Response:
        wanted = run_filter(self.engines, **filters)
        return json_response(self.reader.page(caller().owner, page_size, page_token, wanted))

    def log(self, run_id: str) -> flask.Response:
        return json_response(self.reader.log(caller().owner, run_id, caller().links))

    def status(self, run_id: str) -> flask.Response:
        return json_response(self.reader.status(caller().owner, run_id))

    def cancel(self, run_id: str) -> flask.Response:
        run = self.runs.cancel(caller().owner, run_id)
        self.submitter.queue.wake(run.id)
        LOG.info("run canceled", action="cancel", run_id=run.id, state=run.state.value)
        return json_response({"run_id": run.id})

    def delete(self, run_id: str) -> flask.Response:
        self.deleter.delete(caller().owner, run_id)
        return json_response({"run_id": run_id})

    def events(self, run_id: str) -> flask.Response:
        return json_response(self.reader.events(caller().owner, run_id))

    def tasks(self, run_id: str, page_size: int = PAGE_SIZE, page_token: str = "") -> flask.Response:
        who = caller()
        return json_response(self.reader.task_page(who.owner, run_id, page_size, page_token, who.links))

    def task(self, run_id: str, task_id: str) -> flask.Response:
        return json_response(self.reader.task(caller().owner, run_id, task_id, caller().links))

    def run_stream(self, run_id: str, stream: str) -> flask.Response:
        return text_response(self.reader.engine_stream(caller().owner, run_id, _stream(stream)))

    def task_stream(self, run_id: str, task_id: str, stream: str) -> flask.Response:
        return text_response(self.reader.task_stream(caller().owner, run_id, task_id, _stream(stream)))

    def outputs(self, run_id: str) -> flask.Response:
        files = self.reader.outputs(caller().owner, run_id)
        return json_response({"outputs": [_output(file, run_id, caller().links) for file in files]})

    def output(self, run_id: str, path: str) -> flask.Response:
        return output_response(self.reader.output(caller().owner, run_id, path), path)


def handlers(runs: RunHandlers, service_info: Callable[[Links], dict[str, Json]]) -> dict[str, Handler]:
    """The handler of each operation of `openapi/wes.yaml`."""
    return {
        "GetServiceInfo": lambda: json_response(service_info(caller().links)),
        "ListRuns": runs.page,
        "RunWorkflow": runs.submit,
        "GetRunLog": runs.log,
        "GetRunStatus": runs.status,
        "CancelRun": runs.cancel,
        "DeleteRun": runs.delete,
        "ListEvents": runs.events,
        "ListTasks": runs.tasks,
        "GetTask": runs.task,
        "GetRunStream": runs.run_stream,
        "GetTaskStream": runs.task_stream,
        "ListOutputs": runs.outputs,
        "GetOutput": runs.output,
    }


def _stream(name: str) -> str:
    if name not in STREAMS:
        raise LogNotFound
    return name


def _output(file: OutputFile, run_id: str, links: Links) -> dict[str, Json]:
    url = f"{links.outputs(run_id)}/{location_of(file.path).removeprefix(SCHEME)}"
    known: dict[str, Json] = {"size": file.size, "sha256": file.sha256, "checksum": file.checksum}
    recorded = {name: value for name, value in known.items() if value is not None}
    return {"name": file.name, "path": file.path, "url": url, **recorded, "media_type": media_type(file.path)}

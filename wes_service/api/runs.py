"""Handlers of runs, their tasks, logs and outputs; by operationId in `run_operations`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from common.engine import Engine
from common.errors import LogNotFound
from common.json_types import Json
from wes_service.api.errors import UnsupportedMediaType
from wes_service.api.forms import BodyStream, FormBody, FormLimits, read_form
from wes_service.api.middleware import caller_of
from wes_service.api.operations import Handler
from wes_service.api.responses import json_response, log_response, media_type, output_response
from wes_service.core.links import OUTPUT_SCHEME, STREAMS, Links, RecordedOutput, location_of
from wes_service.core.ports import RunStore
from wes_service.core.run import TERMINAL
from wes_service.services.deletion import Deleter
from wes_service.services.resumption import RESUMED_FIELDS, Resumer
from wes_service.services.runs import PAGE_SIZE, RunReader, run_filter
from wes_service.services.submission import FORM_FIELDS, Submitter
from wes_service.storage.run_folders import RunFolders, StagingFolder

LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunHandlers:
    """One method per operation; parameters are those of the document."""

    submitter: Submitter[StagingFolder]
    resumer: Resumer[StagingFolder]
    reader: RunReader
    deleter: Deleter
    runs: RunStore
    folders: RunFolders
    engines: Sequence[Engine]
    limits: FormLimits
    received: Callable[[int], None]
    """Told the bytes of attachments that came with each form."""
    uploads: CapacityLimiter
    """Threads for large bodies."""

    async def submit(self, request: Request) -> Response:
        """WES 1.1, RunWorkflow."""
        return await self._received(request, self._submit)

    async def resume(self, request: Request, run_id: str) -> Response:
        """An extension: a new run, with the request of one that has ended."""
        return await self._received(request, partial(self._resume, run_id))

    async def _received(self, request: Request, handle: Callable[[Request, FormBody], Response]) -> Response:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType("Content-Encoding: send the form as it is, not packed")
        body = BodyStream(request)
        if body.is_large:
            return await to_thread.run_sync(handle, request, body.form, limiter=self.uploads)
        await body.receive_all()
        return await run_in_threadpool(handle, request, body.form)

    def _submit(self, request: Request, body: FormBody) -> Response:
        with self.folders.stage() as staging:
            fields = read_form(body, FORM_FIELDS, self.limits, staging)
            self.received(staging.received)
            key = request.headers.get("Idempotency-Key")
            run_id = self.submitter.submit(caller_of(request.scope).owner, fields, staging, key)
        return json_response({"run_id": run_id})

    def _resume(self, run_id: str, request: Request, body: FormBody) -> Response:
        with self.folders.stage() as staging:
            fields = read_form(body, RESUMED_FIELDS, self.limits, staging)
            self.received(staging.received)
            key = request.headers.get("Idempotency-Key")
            new_id = self.resumer.resume(caller_of(request.scope).owner, run_id, fields, staging, key)
        return json_response({"run_id": new_id})

    def page(self, request: Request, page_size: int = PAGE_SIZE, page_token: str = "", **filters: Any) -> Response:
        """WES 1.1, ListRuns."""
        owner = caller_of(request.scope).owner
        run_filters = run_filter(self.engines, **filters)
        return json_response(self.reader.page(owner, page_size, page_token, run_filters))

    def log(self, request: Request, run_id: str) -> Response:
        """WES 1.1, GetRunLog."""
        caller = caller_of(request.scope)
        return json_response(self.reader.log(caller.owner, run_id, caller.links))

    def status(self, request: Request, run_id: str) -> Response:
        """WES 1.1, GetRunStatus."""
        return json_response(self.reader.status(caller_of(request.scope).owner, run_id))

    def cancel(self, request: Request, run_id: str) -> Response:
        """WES 1.1, CancelRun."""
        run = self.runs.cancel(caller_of(request.scope).owner, run_id)
        self.submitter.queue.wake(run.id)
        if run.state in TERMINAL:
            self.submitter.queue.deliver_notifications(run.id)
        LOG.info("run canceled", action="cancel", run_id=run.id, state=run.state.value)
        return json_response({"run_id": run.id})

    def delete(self, request: Request, run_id: str) -> Response:
        """An extension: the run, its tasks and its files are gone."""
        self.deleter.delete(caller_of(request.scope).owner, run_id)
        return json_response({"run_id": run_id})

    def events(self, request: Request, run_id: str) -> Response:
        """An extension: the history of a run's states."""
        return json_response(self.reader.events(caller_of(request.scope).owner, run_id))

    def tasks(self, request: Request, run_id: str, page_size: int = PAGE_SIZE, page_token: str = "") -> Response:
        """WES 1.1, ListTasks."""
        caller = caller_of(request.scope)
        return json_response(self.reader.task_page(caller.owner, run_id, page_size, page_token, caller.links))

    def task(self, request: Request, run_id: str, task_id: str) -> Response:
        """WES 1.1, GetTask."""
        caller = caller_of(request.scope)
        return json_response(self.reader.task(caller.owner, run_id, task_id, caller.links))

    def run_stream(self, request: Request, run_id: str, stream: str) -> Response:
        """An extension: what `stdout` and `stderr` of a run's log point to."""
        owner = caller_of(request.scope).owner
        return log_response(request, self.reader.engine_stream(owner, run_id, _stream(stream)))

    def task_stream(self, request: Request, run_id: str, task_id: str, stream: str) -> Response:
        """An extension: what `stdout` and `stderr` of a task's log point to."""
        owner = caller_of(request.scope).owner
        return log_response(request, self.reader.task_stream(owner, run_id, task_id, _stream(stream)))

    def outputs(self, request: Request, run_id: str) -> Response:
        """An extension: every output file with its URL."""
        caller = caller_of(request.scope)
        files = self.reader.outputs(caller.owner, run_id)
        return json_response({"outputs": [_output(file, run_id, caller.links) for file in files]})

    def output(self, request: Request, run_id: str, path: str) -> Response:
        """An extension: the content of an output."""
        return output_response(request, self.reader.output(caller_of(request.scope).owner, run_id, path), path)


def run_operations(runs: RunHandlers, service_info: Callable[[Links], dict[str, Json]]) -> dict[str, Handler]:
    """The handler of each operation of `openapi/wes.yaml`, by operationId."""
    return {
        "GetServiceInfo": lambda request: json_response(service_info(caller_of(request.scope).links)),
        "ListRuns": runs.page,
        "RunWorkflow": runs.submit,
        "GetRunLog": runs.log,
        "GetRunStatus": runs.status,
        "CancelRun": runs.cancel,
        "ResumeRun": runs.resume,
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


def _output(file: RecordedOutput, run_id: str, links: Links) -> dict[str, Json]:
    url = f"{links.outputs(run_id)}/{location_of(file.path).removeprefix(OUTPUT_SCHEME)}"
    known: dict[str, Json] = {"size": file.size, "sha256": file.sha256, "checksum": file.checksum}
    recorded = {name: value for name, value in known.items() if value is not None}
    return {"name": file.name, "path": file.path, "url": url, **recorded, "media_type": media_type(file.path)}

"""A WES of the standard over HTTP, scripted: each look at a run's state takes it one moment further."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response
from werkzeug.serving import make_server

API = "/ga4gh/wes/v1"
NO_STATE = "NO_SUCH_STATE"


@dataclass(kw_only=True)
class Moment:
    """What the server says of a run at one time."""

    state: str
    tasks: Sequence[dict[str, Any]] = ()


@dataclass(kw_only=True)
class FakeRun:
    """A run with its script; the last moment stays."""

    id: str
    moments: list[Moment]
    outputs: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    start_time: str = ""
    workflow_url: str = "wf.cwl"
    events: list[dict[str, str]] = field(default_factory=list)
    looks: int = 0

    @property
    def now(self) -> Moment:
        return self.moments[min(max(self.looks - 1, 0), len(self.moments) - 1)]


@dataclass(kw_only=True)
class Submission:
    """One POST /runs as it arrived."""

    form: dict[str, str]
    files: dict[str, bytes]
    headers: dict[str, str]


@dataclass(kw_only=True)
class FakeWes:
    """The server's memory and its manners, for a test to set and read.

    `files`: other paths of the server and their content. `has_tasks`: false is WES 1.0. `has_more`: our additions
    (filters, of which it knows `state`; events; DELETE). `failures`: statuses to answer with before anything else, each
    once. `queries`: those of GET /runs.
    """

    url: str = ""
    version: str = "1"
    token: str | None = None
    page_size: int = 2
    has_tasks: bool = True
    has_ranges: bool = True
    has_more: bool = True
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    runs: dict[str, FakeRun] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    next_run: FakeRun | None = None
    types: dict[str, list[str]] = field(default_factory=lambda: {"CWL": ["v1.0", "v1.1", "v1.2"], "SMK": ["9", "10"]})

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        self.asked.append((request.method, request.path, dict(request.headers)))
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if self.failures:
            return _error(self.failures.pop(0), "not now")
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error(401, "a valid bearer token is needed")
        if request.path in self.files:
            return self._file(request, self.files[request.path])
        return self._route(request)

    def _route(self, request: Request) -> Response:
        match [request.method, *request.path.removeprefix(API).strip("/").split("/")]:
            case ["GET", "service-info"]:
                return _json(self._service_info())
            case ["GET", "runs"]:
                return self._list(request)
            case ["POST", "runs"]:
                return self._submit(request)
            case [method, "runs", run_id, *rest] if run_id in self.runs:
                return self._of_run(method, self.runs[run_id], rest, request)
            case [_, "runs", *_]:
                return _error(404, "there is no such run")
        return Response("<h1>Not Found</h1>", 404, content_type="text/html")

    def _service_info(self) -> dict[str, Any]:
        return {
            "name": "fake",
            "version": self.version,
            "workflow_type_versions": {name: {"workflow_type_version": them} for name, them in self.types.items()},
            "workflow_engine_versions": {"cwltool": {"workflow_engine_version": ["3.3"]}},
        }

    def _list(self, request: Request) -> Response:
        self.queries.append({name: values for name, values in request.args.lists() if name != "page_size"})
        states = request.args.getlist("state") if self.has_more else []
        if NO_STATE in states:
            return _error(400, "state: there is no such state")
        items = [
            {"run_id": run.id, "state": run.now.state, "tags": run.tags}
            | ({"start_time": run.start_time} if run.start_time else {})
            for run in self.runs.values()
            if not states or run.now.state in states
        ]
        return _json(self._page(items, "runs", request))

    def _page(self, items: Sequence[Any], key: str, request: Request) -> dict[str, Any]:
        start = int(request.args.get("page_token") or 0)
        end = start + min(self.page_size, int(request.args.get("page_size", "1000")))
        return {key: list(items[start:end]), "next_page_token": str(end) if end < len(items) else ""}

    def _submit(self, request: Request) -> Response:
        files = {}
        for file in request.files.getlist("workflow_attachment"):
            with file.stream as stream:
                files[file.filename or ""] = stream.read()
        self.submissions.append(Submission(form=dict(request.form), files=files, headers=dict(request.headers)))
        run = self.next_run or FakeRun(id=f"new-{len(self.submissions)}", moments=[Moment(state="COMPLETE")])
        self.runs = {run.id: run, **self.runs}
        return _json({"run_id": run.id})

    def _of_run(self, method: str, run: FakeRun, rest: list[str], request: Request) -> Response:
        match [method, *rest]:
            case ["GET", "status"]:
                run.looks += 1
                return _json({"run_id": run.id, "state": run.now.state})
            case ["GET", "tasks"] if self.has_tasks:
                return _json(self._page(run.now.tasks, "task_logs", request))
            case ["GET", "tasks", task_id] if self.has_tasks:
                return _json(next(task for task in run.now.tasks if task["id"] == task_id))
            case ["GET", "events"] if self.has_more:
                return _json({"events": run.events})
            case ["DELETE"]:
                return self._delete(run)
            case ["GET"]:
                return _json(self._document(run))
            case ["POST", "cancel"]:
                run.moments = [Moment(state="CANCELED")]
                return _json({"run_id": run.id})
        return _error(404, "there is no such thing")

    def _delete(self, run: FakeRun) -> Response:
        if not self.has_more:
            return Response("<h1>Method Not Allowed</h1>", 405, content_type="text/html")
        if run.now.state == "RUNNING":
            return _error(409, "The run is RUNNING: cancel it first")
        del self.runs[run.id]
        return _json({"run_id": run.id})

    def _document(self, run: FakeRun) -> dict[str, Any]:
        log = {
            "stdout": f"{self.url}{API}/runs/{run.id}/logs/stdout",
            "stderr": f"{self.url}{API}/runs/{run.id}/logs/stderr",
            "system_logs": [run.reason] if run.reason else [],
        }
        return {
            "run_id": run.id,
            "state": run.now.state,
            "request": {"workflow_url": run.workflow_url, "workflow_type": "CWL", "workflow_type_version": "v1.2"},
            "run_log": log,
            "outputs": run.outputs,
            "task_logs": list(run.now.tasks),
        }

    def _file(self, request: Request, content: bytes) -> Response:
        wanted = request.headers.get("Range", "")
        if not self.has_ranges or not wanted:
            return Response(content, 200, content_type="text/plain")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        return Response(content[start:], 206) if start < len(content) else _error(416, "nothing there")


def _json(document: object) -> Response:
    return Response(json.dumps(document), content_type="application/json")


def _error(status: int, message: str) -> Response:
    body = json.dumps({"msg": message, "status_code": status})
    return Response(body, status, content_type="application/json")


@contextmanager
def serving(wes: FakeWes, port: int = 0) -> Iterator[FakeWes]:
    """Serves it on a port of the loopback (0: a free one); `wes.url` is its address."""
    server = make_server("127.0.0.1", port, wes, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    wes.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield wes
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

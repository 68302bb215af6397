"""The real app over stores that a test can look into; every response is checked against `openapi/wes.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from common.json_types import JsonObject
from sandbox.identity import foreign_identity
from tes.task import Task, TaskState
from tests.contract.store.stores import Stores
from tests.contract.wes.backing import Backing, InMemory
from tests.contract.wes.document import BASE, check
from tests.fakes.clock import FakeClock
from tests.fakes.engines import FAKE_ENGINES
from tests.fakes.object_store import no_storages
from tests.fakes.queue import FakeQueue
from tests.fakes.stores import FakeStores
from wes_service.api.app import ApiDependencies, create_api
from wes_service.core.ports import Lease, RunChange, WorkerInfo
from wes_service.core.run import Owner, Run, RunState
from wes_service.services.deletion import FolderCleanup
from wes_service.services.readiness import Probe
from wes_service.settings import Settings
from wes_service.storage.run_folders import RunFolders

ORIGIN = "http://localhost:8080"
WORKFLOW = b"cwlVersion: v1.2\nclass: CommandLineTool\n"
FORM = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
ENGINES = {"cwltool": ("3.1.1", "3.1.2")}
WORKER = WorkerInfo(id="w", host="here", engines=ENGINES, sandbox="bubblewrap")
Upload = tuple[str, tuple[str | None, bytes | str] | tuple[str | None, bytes | str, str]]


def attached(name: str, content: bytes = WORKFLOW) -> Upload:
    return ("workflow_attachment", (name, content))


@dataclass(kw_only=True)
class Api:
    """A client, and what stands behind the server that it talks to."""

    client: Any
    backing: Backing
    clock: FakeClock
    queue: FakeQueue
    folders: RunFolders
    dependencies: ApiDependencies
    headers: dict[str, str] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)

    @property
    def stores(self) -> Stores:
        return self.backing.stores

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """`path` below the base path of WES, or absolute with `//` at its start."""
        url = path[1:] if path.startswith("//") else BASE + path
        headers = {**self.headers, **options.pop("headers", {})}
        response: httpx.Response = self.client.request(method, url, headers=headers, **options)
        check(response)
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def json(self, path: str, **options: Any) -> Any:
        response = self.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def post_form(
        self, changes: Mapping[str, str | None] | None = None, files: Sequence[Upload] | None = None, **options: Any
    ) -> httpx.Response:
        """A complete multipart form with `changes` (None: left out), by default with `main.cwl` attached."""
        form = {name: value for name, value in {**FORM, **(changes or {})}.items() if value is not None}
        parts: list[Upload] = [(name, (None, value)) for name, value in form.items()]
        parts += [attached("main.cwl")] if files is None else files
        return self.request("POST", "/runs", files=parts, **options)

    def submit(self, changes: Mapping[str, str | None] | None = None, files: Sequence[Upload] | None = None) -> str:
        response = self.post_form(changes, files)
        assert response.status_code == 200, response.text
        return str(response.json()["run_id"])

    def message(self, response: httpx.Response, status: int) -> str:
        """The message of a refusal, which left no run and no file."""
        assert response.status_code == status, response.text
        assert self.is_untouched()
        return str(response.json()["msg"])

    def is_untouched(self) -> bool:
        return self.backing.is_empty() and self.stored_files() == [] and self.queue.woken == []

    def stored_files(self) -> list[str]:
        """All files and folders below the runs' folder, but the folder for staging."""
        found = [str(path.relative_to(self.folders.root)) for path in self.folders.root.rglob("*")]
        return sorted(path for path in found if path != ".staging")

    def attachment(self, run_id: str, name: str) -> bytes:
        return (self.folders.folder(run_id).attachments / name).read_bytes()

    def claim(self) -> Run:
        """The next run, held by worker `w`, in RUNNING."""
        run = self.stores.runs.claim("w", ENGINES)
        assert run is not None
        self.folders.complete(run.id)
        return self.stores.runs.move(lease_of(run), RunState.RUNNING)

    def started(self, changes: Mapping[str, str | None] | None = None) -> Run:
        self.submit(changes)
        return self.claim()

    def end(self, run: Run, state: RunState, change: RunChange) -> Run:
        return self.stores.runs.move(lease_of(run), state, change)

    def add_task(self, run: Run, task_id: str, **fields: Any) -> Task:
        self.clock.advance(1)
        task = Task(
            **{"id": task_id, "run_id": run.id, "name": task_id, "created": self.clock.now(), "body": BODY, **fields}
        )
        self.leases[run.id] = lease_of(run)
        self.stores.tasks.add(self.leases[run.id], task)
        return task

    def end_task(self, task: Task, state: TaskState, document: Any, reason: str | None = None) -> Task:
        ended = replace(task, state=state, document=document, reason=reason)
        self.stores.tasks.update(self.leases[task.run_id], ended)
        return ended

    def give_away(self, run_id: str) -> Owner:
        """Makes a run another user's."""
        other = Owner(issuer="https://idp.example", subject="bob")
        self.backing.give_away(run_id, other)
        return other

    def replica(self, folder: Path, **settings: Any) -> "Api":
        """Another server on the same stores."""
        return replace(self, client=_client(self.dependencies, Settings(data=folder, **settings)))

    def empty(self, folder: Path) -> None:
        """As just made: reading the document again for each test would take longer than all of them."""
        self.backing.clear()
        self.queue.woken.clear()
        self.queue.broken = False
        self.clock.reset()
        self.folders.root = folder / "runs"
        self.folders.prepare()
        self.stores.workers.beat(WORKER)

    def write_log(self, run_id: str, name: str, content: bytes) -> None:
        path = self.folders.folder(run_id).logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


BODY: JsonObject = {"name": "count", "executors": [{"image": "debian:12", "command": ["wc", "-l", "reads.fq"]}]}


def lease_of(run: Run) -> Lease:
    return Lease(run_id=run.id, worker=run.worker or "", epoch=run.epoch)


def make_api(
    folder: Path,
    *,
    token: str | None = None,
    clock: FakeClock | None = None,
    backing: Backing | None = None,
    probes: Mapping[str, Probe] | None = None,
    **settings: Any,
) -> Api:
    """An app whose only worker has cwltool, on stores in memory if no others are given; with a `token`, the client
    sends it."""
    clock = clock or FakeClock()
    backing = backing or InMemory(stores=FakeStores(clock))
    stores = backing.stores
    folders = RunFolders(folder / "runs", foreign_identity(64321))
    folders.prepare()
    # What a worker does, at once.
    queue = FakeQueue(FolderCleanup(tombstones=stores.tombstones, folders=folders, storages=no_storages()).remove)
    stores.workers.beat(WORKER)
    dependencies = ApiDependencies(
        runs=stores.runs,
        tasks=stores.tasks,
        workers=stores.workers,
        notifications=stores.notifications,
        queue=queue,
        clock=clock,
        folders=folders,
        engines=FAKE_ENGINES,
        token=token,
        cache_seconds=0,
        probes=probes or {},
    )
    client = _client(dependencies, Settings(data=folder, **settings))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Api(
        client=client,
        backing=backing,
        clock=clock,
        queue=queue,
        folders=folders,
        dependencies=dependencies,
        headers=headers,
    )


def _client(dependencies: ApiDependencies, settings: Settings) -> Any:
    app = create_api(dependencies, settings)
    return TestClient(app, base_url=ORIGIN, raise_server_exceptions=False, follow_redirects=False)


def raw_form(*dispositions: str) -> dict[str, Any]:
    """Content and headers of a complete form with one attachment for each way to write its file name."""
    heads = [f'name="{name}"\r\n\r\n{value}' for name, value in FORM.items()]
    names = ('filename="main.cwl"', *dispositions)
    heads += [f'name="workflow_attachment"; {disposition}\r\n\r\nhello' for disposition in names]
    body = "".join(f"--B\r\nContent-Disposition: form-data; {head}\r\n" for head in heads) + "--B--\r\n"
    return {"content": body.encode(), "headers": {"Content-Type": "multipart/form-data; boundary=B"}}

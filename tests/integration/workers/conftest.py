"""A real gateway in front of a TES that behaves badly, over the stores in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.engine import RunFolder
from common.run_root import RunRoot
from gateway.http_api import BASE
from gateway.server import SOCKET_NAME, Gateway
from gateway.session import RunScope, Session
from sandbox.identity import foreign_identity
from tes.task import TASK_TERMINAL
from tests.fakes.stores import FakeClock, FakeStores
from tests.fakes.tes_server import BadTes, bad_tes
from wes_service.core.ports import Lease
from wes_service.core.run import ANONYMOUS, Run, RunRequest, RunState
from wes_service.settings import Settings

UID = 64321


@dataclass(kw_only=True)
class Rig:
    """The parts of a test: `post`, `get` and `cancel` speak to the gateway as an engine does."""

    gateway: Gateway
    stores: FakeStores
    session: Session
    tes: BadTes
    scope: RunScope
    short: Path
    clock: FakeClock

    def client(self, token: str | None = None) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.short / SOCKET_NAME))
        headers = {"Authorization": f"Bearer {token or self.session.token}"}
        return httpx.Client(transport=transport, base_url=f"http://gateway{BASE}", headers=headers, timeout=20)

    def post(self, **fields: Any) -> str:
        body = {"name": "align", "executors": [{"image": "i", "command": ["true"]}], **fields}
        with self.client() as client:
            response = client.post("/tasks", json=body)
            assert response.status_code == 200, response.text
            return str(response.json()["id"])

    def get(self, task_id: str, view: str = "FULL") -> dict[str, Any]:
        with self.client() as client:
            response = client.get(f"/tasks/{task_id}", params={"view": view})
            assert response.status_code == 200, response.text
            document: dict[str, Any] = response.json()
            return document

    def wait(self, task_id: str) -> dict[str, Any]:
        """The FULL view once the task is terminal."""
        with self.client() as client:
            for _ in range(30):
                told = client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=5"}).json()
                if told["state"] in TASK_TERMINAL:
                    return self.get(task_id)
        raise AssertionError(f"not terminal: {told}")


def a_run(run_id: str) -> Run:
    request = RunRequest(workflow_type="CWL", workflow_type_version="v1.2", workflow_url="w.cwl")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Run(id=run_id, owner=ANONYMOUS, state=RunState.QUEUED, request=request, engine="cwltool", created=now)


def scope_of(stores: FakeStores, run_id: str, root: Path, seen: Path | None = None) -> RunScope:
    """`seen`: where the engine sees the run's folder, if elsewhere."""
    stores.runs.add(a_run(run_id), None)
    claimed = stores.runs.claim("w1", {"cwltool": ("1",)})
    assert claimed is not None
    folder = RunFolder(root=root / run_id, seen_root=seen)
    for path in (folder.root, folder.work, folder.attachments, folder.logs):
        path.mkdir()
    return RunScope(
        lease=Lease(run_id=run_id, worker="w1", epoch=claimed.epoch),
        owner=ANONYMOUS,
        root=RunRoot(folder=folder),
        identity=foreign_identity(UID),
    )


@pytest.fixture
def tes() -> Iterator[BadTes]:
    with bad_tes() as server:
        yield server


@contextmanager
def rigged(folder: Path, tes: BadTes, **settings: Any) -> Iterator[Rig]:
    """A gateway in `folder` whose TES is `tes`, with one open session."""
    token_file = folder / "tes-token"
    token_file.write_text("tes-secret")
    token_file.chmod(0o600)
    # Deeper than a Unix socket's path may be.
    deep = folder / ("deep" * 40) / "gw"
    pace: dict[str, Any] = {"poll_seconds": 0.1, "tes_patience_seconds": 2.0, **settings}
    clock = FakeClock()
    stores = FakeStores(clock)
    told = Settings(**{"data": folder, "tes_urls": (tes.url,), "tes_token_file": token_file, **pace})
    gateway = Gateway(told, stores.tasks, clock, deep, on_tcp=False)
    gateway.start()
    scope = scope_of(stores, "run-1", folder)
    (folder / "gw").symlink_to(gateway.folder)
    session = gateway.open_session(scope)
    rig = Rig(gateway=gateway, stores=stores, session=session, tes=tes, scope=scope, short=folder / "gw", clock=clock)
    try:
        yield rig
    finally:
        gateway.close_session(rig.session, 10)
        gateway.stop()


@pytest.fixture
def rig(open_tmp: Path, tes: BadTes) -> Iterator[Rig]:
    with rigged(open_tmp, tes) as rig:
        yield rig

"""A run whose files go by way of a store, which is one in memory."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.engine import RunFolder
from common.run_root import RunRoot
from gateway.download_room import DownloadLimits, DownloadRoom
from gateway.file_origins import FileOrigins
from gateway.run_files import FileTree
from gateway.run_objects import RunObjects
from gateway.stored_files import StoredFiles, stored_files
from gateway.transfer_threads import TransferThreads
from sandbox.identity import Identity
from tes.task import TAG_OUTPUTS, Task, TaskState
from tests.fakes.object_store import MemoryStores

SEEN = Path("/wes/run")
WORK = "file:///wes/run/work"
LIMITS = DownloadLimits(files=50, run_bytes=10_000, free_bytes=0)


@dataclass(kw_only=True)
class Run:
    """A run's folder, a store, and what stands between them."""

    folder: RunFolder
    data: Path
    stores: MemoryStores
    origins: FileOrigins
    files: StoredFiles
    others: StoredFiles
    """For a TES with another storage."""

    def task(self, state: TaskState = TaskState.QUEUED, **body: Any) -> Task:
        whole: Any = {"name": "step", "executors": [{"image": "x", "command": ["x"]}], **body}
        return Task(
            id="f" * 20,
            run_id="01run",
            name="step",
            key=None,
            attempt=1,
            created=datetime(2026, 1, 1, tzinfo=UTC),
            body=whole,
            state=state,
        )

    def sent(self, *inputs: dict[str, str], outputs: list[dict[str, str]] | None = None) -> Any:
        task = self.task(inputs=list(inputs), outputs=outputs or [])
        return asyncio.run(self.files.for_tes(task))

    def input(self, path: str, kind: str = "FILE") -> dict[str, str]:
        return {"url": f"{WORK}/{path}", "path": f"/in/{path}", "type": kind}

    def write(self, path: str, content: bytes | str) -> Path:
        target = self.folder.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def store(self, number: int, path: str, content: bytes) -> str:
        """As a TES does."""
        url = self.files.objects.output("f" * 20, 1, number) + (f"/{path}" if path else "")
        self.stores.put(url, content)
        return url

    def fetch(self, *outputs: dict[str, str], state: TaskState = TaskState.COMPLETE, on_demand: bool = False) -> None:
        tags = {TAG_OUTPUTS: "on-demand"} if on_demand else {}
        asyncio.run(self.files.fetch(self.task(state, outputs=list(outputs), tags=tags)))


def out(path: str, kind: str = "FILE") -> dict[str, str]:
    return {"url": f"{WORK}/{path}", "path": f"/out/{path}", "type": kind}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    folder = RunFolder(root=tmp_path / "01run", seen_root=SEEN)
    data = tmp_path / "data"
    for each in (folder.root, folder.work, folder.attachments, folder.control, folder.logs, data):
        each.mkdir()
    stores = MemoryStores()
    yield from a_run(folder, data, stores)


def a_run(folder: RunFolder, data: Path, stores: MemoryStores) -> Iterator[Run]:
    """On a worker that knows nothing of it yet."""
    objects, other = (RunObjects(storage=storage, run_id="01run") for storage in ("s3://runs/far", "s3://other"))
    identity = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)
    threads = TransferThreads(4)
    try:
        origins = FileOrigins(
            files=FileTree(root=RunRoot(folder=folder, data=(data,)), identity=identity),
            stores=stores,
            folders=frozenset([objects.folder, other.folder]),
            room=DownloadRoom(limits=LIMITS, folder=folder.root),
        )
        yield Run(
            folder=folder,
            data=data,
            stores=stores,
            origins=origins,
            files=stored_files(objects=objects, origins=origins, threads=threads),
            others=stored_files(objects=other, origins=origins, threads=threads),
        )
    finally:
        threads.stop()

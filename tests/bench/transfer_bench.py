"""What the gateway's transfer costs: its rate beside plain copying by obstore in the same run, and its memory.

`python -m tests.bench.transfer_bench [GB]`; the store is on the same machine, so that the network costs nothing.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from common.engine import RunFolder
from common.object_store import ObjectStores
from common.run_root import RunRoot
from gateway.download_room import DownloadLimits, DownloadRoom
from gateway.file_origins import FileOrigins
from gateway.run_files import FileTree
from gateway.run_objects import RunObjects
from gateway.stored_files import StoredFiles, stored_files
from gateway.transfer_threads import TransferThreads
from sandbox.identity import Identity
from tes.task import Task, TaskState
from tests.s3_fixture import S3Server, real_s3

GB = 1000**3
MB = 1000**2
SAMPLE_SECONDS = 0.02


@dataclass
class PeakMemory:
    """Bytes that this process took more than at the beginning of the block."""

    more: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def measured(self) -> Iterator["PeakMemory"]:
        thread = threading.Thread(target=self._watch, args=(psutil.Process().memory_info().rss,))
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def _watch(self, before: int) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.more = max(self.more, psutil.Process().memory_info().rss - before)


def _timed(what: str, size: int, work: Callable[[], object]) -> None:
    with PeakMemory().measured() as memory:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
    print(f"{what:44} {size / MB / seconds:8.0f} MB/s {memory.more / MB:8.0f} MB more", flush=True)


def _plain_copy(stores: ObjectStores, url: str, file: Path) -> None:
    with file.open("wb") as target:
        for chunk in stores.open(url).chunks:
            target.write(chunk)


def _task(state: TaskState) -> Task:
    work = "file:///wes/run/work"
    return Task(
        id="0" * 20,
        run_id="bench",
        name="bench",
        state=state,
        created=datetime.now(UTC),
        body={
            "executors": [],
            "inputs": [{"url": f"{work}/large", "path": "/in"}],
            "outputs": [{"url": f"{work}/back", "path": "/out", "type": "FILE"}],
        },
    )


def _run(folder: Path, s3: S3Server, threads: TransferThreads) -> StoredFiles:
    run = RunFolder(root=folder / "bench", seen_root=Path("/wes/run"))
    for each in (run.root, run.work, run.attachments):
        each.mkdir()
    objects = RunObjects(storage=f"{s3.url}/far", run_id="bench")
    identity = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)
    origins = FileOrigins(
        files=FileTree(root=RunRoot(folder=run), identity=identity),
        stores=s3.stores,
        folders=frozenset([objects.folder]),
        room=DownloadRoom(limits=DownloadLimits(files=100, run_bytes=None, free_bytes=0), folder=run.root),
    )
    return stored_files(objects=objects, origins=origins, threads=threads)


def main(gigabytes: float = 1.0) -> None:
    """One large file, up and down."""
    size = round(gigabytes * GB)
    print(f"\ntransfer of a file of {gigabytes:g} GB")
    folder, threads = Path(tempfile.mkdtemp(prefix="wes-bench-", dir="/var/tmp")), TransferThreads(8)
    try:
        with real_s3() as s3:
            files = _run(folder, s3, threads)
            large = folder / "bench" / "work" / "large"
            with large.open("wb") as file:
                file.truncate(size)
            plain = f"{s3.url}/plain"
            _timed("up, obstore itself", size, lambda: s3.stores.put(plain, large))
            _timed(
                "up, the gateway (and its SHA-256)", size, lambda: asyncio.run(files.for_tes(_task(TaskState.QUEUED)))
            )
            s3.stores.copy(plain, files.objects.output("0" * 20, 1, 0))
            _timed("down, obstore itself", size, lambda: _plain_copy(s3.stores, plain, folder / "plain"))
            _timed(
                "down, the gateway (and its SHA-256)", size, lambda: asyncio.run(files.fetch(_task(TaskState.COMPLETE)))
            )
    finally:
        threads.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))

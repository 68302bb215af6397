"""32 clients submit while APIs, Redis and the database are ended and started again: what a client was told is true.

A worker of a few lines, without engines, completes the runs: what becomes of engines and tasks meanwhile is for the
tests of chaos.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import httpx
import pytest

from common.errors import DiskFull, MoveRefused, StaleClaim, StoreUnavailable
from tests.acceptance.conftest import open_folder
from tests.acceptance.replicas import Cluster, Replica, redis_program
from tests.acceptance.workflows import ECHO, form, parts
from tests.postgres_fixture import Postgres, parted
from tests.waiting import PATIENCE, until
from wes_service.core.ports import Lease, WorkerInfo
from wes_service.core.run import ANONYMOUS, RunState
from wes_service.store.database import Database, open_database

pytestmark = pytest.mark.timeout(900)
CLIENTS = 32
EACH = 2
"""Runs of each client with keys of its own."""
SHARED = ("order-1", "order-2")
"""Keys with which every client submits the same."""
RESTARTS = 6
NAME = "worker"
NEXT = {RunState.INITIALIZING: RunState.RUNNING, RunState.RUNNING: RunState.COMPLETE}


@dataclass(kw_only=True)
class Completing:
    """A worker that completes what it claims; the database may go away at any moment."""

    database: Database
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(0.02):
            with suppress(StoreUnavailable, DiskFull, StaleClaim, MoveRefused):
                self.look()

    def look(self) -> None:
        self.database.workers.beat(WorkerInfo(id=NAME, host="h", engines={"cwltool": ("1.0",)}))
        self.database.runs.claim(NAME, {"cwltool": ("1.0",)})
        for run_id, status in self.database.runs.held(NAME).items():
            self.database.runs.move(Lease(run_id=run_id, worker=NAME, epoch=status.epoch), NEXT[status.state])


@contextmanager
def completing(url: str) -> Iterator[Database]:
    with closing(open_database(url)) as database:
        worker = Completing(database=database)
        thread = threading.Thread(target=worker.run, name="worker")
        thread.start()
        try:
            yield database
        finally:
            worker.over.set()
            thread.join()


@dataclass(frozen=True, kw_only=True)
class Client:
    """Submits with each key until it is told of a run, and then once more."""

    cluster: Cluster
    number: int

    def told(self) -> list[tuple[str, str]]:
        """Each key with each run that it was told of."""
        own = [f"client-{self.number}-{count}" for count in range(EACH)]
        keys = [key for pair in zip(own, own, strict=True) for key in pair] + list(SHARED)
        return [(key, self.submit(key)) for key in keys]

    def submit(self, key: str) -> str:
        deadline, tries = time.monotonic() + PATIENCE, self.number
        while time.monotonic() < deadline:
            tries += 1
            wes = self.cluster.apis[tries % len(self.cluster.apis)].wes
            with suppress(httpx.TransportError):
                answer = wes.post(form(tags=f'{{"order": "{key}"}}'), parts(ECHO), headers={"Idempotency-Key": key})
                if answer.status_code == httpx.codes.OK:
                    return str(answer.json()["run_id"])
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            time.sleep(0.2)
        raise AssertionError(f"{key} was not accepted")


def restarted(cluster: Cluster, redis: Replica, postgres: Postgres, url: str) -> None:
    """Each of them, again and again, in an order of chance; and all are there when this returns."""
    random = Random(12)
    for number in range(RESTARTS):
        time.sleep(random.uniform(0.2, 0.6))
        what = (*cluster.apis, redis)[number % 3]
        what.kill()
        if number % 2:
            postgres.crash(url)
        time.sleep(random.uniform(0.0, 0.3))
        what.start()
    for api in cluster.apis:
        api.wait_until_ready()


def test_each_run_that_a_client_was_told_of_completes_once_and_no_key_makes_a_second(postgres: Postgres) -> None:
    folder = open_folder()
    (folder / "logs").mkdir()
    (folder / "secrets").mkdir()
    redis, redis_url = redis_program(folder)
    redis.start()
    with postgres.database(ready=True) as url, completing(url) as database:
        bare, password = parted(url)
        cluster = Cluster(data=folder, database_url=bare, password=password, redis_url=redis_url)
        try:
            for api in [cluster.add_api(), cluster.add_api()]:
                api.wait_until_ready()
            with ThreadPoolExecutor(CLIENTS) as pool:
                told = [pool.submit(Client(cluster=cluster, number=number).told) for number in range(CLIENTS)]
                restarted(cluster, redis, postgres, url)
            runs: dict[str, set[str]] = {}
            for key, run_id in [pair for client in told for pair in client.result()]:
                runs.setdefault(key, set()).add(run_id)
            assert [key for key, ids in runs.items() if len(ids) > 1] == []
            until(lambda: set(database.runs.counts()) == {RunState.COMPLETE}, database.runs.counts)
        finally:
            cluster.stop()
            redis.stop()
        assert len(runs) == CLIENTS * EACH + len(SHARED)
        listed = {run.id for run in database.runs.page(ANONYMOUS, 1000, None).items}
        assert listed == {run_id for ids in runs.values() for run_id in ids}
        for run_id in listed:
            states = [event.state.value for event in database.runs.events(ANONYMOUS, run_id)]
            assert states == ["QUEUED", "INITIALIZING", "RUNNING", "COMPLETE"]
            assert (folder / "runs" / run_id / "attachments" / "main.cwl").read_text() == ECHO
    shutil.rmtree(folder)

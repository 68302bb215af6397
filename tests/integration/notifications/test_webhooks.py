"""Webhooks by a worker's Celery on a real Redis, to receivers in another process that are as bad as they can be."""

import gc
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from common.hooks import HookSettings, new_hook_secret
from sandbox.identity import foreign_identity
from sandbox.network import network_policy
from tests.contract.store.stores import ANN, a_run, claimed, lease_of
from tests.fakes.notifications import delivery_of
from tests.fakes.object_store import no_storages
from tests.redis_fixture import RedisServer
from tests.waiting import PATIENCE, until
from wes_service.core import notification
from wes_service.core.notification import Notification, NotificationState
from wes_service.core.run import RunState
from wes_service.queue.celery_queue import DELIVER_NOTIFICATIONS, CeleryQueue
from wes_service.services.deletion import FolderCleanup
from wes_service.services.retention import WorkFolderCleanup
from wes_service.storage.run_folders import RunFolders
from wes_service.store.database import Database, SystemClock, open_database, upgrade
from workers import background
from workers.background import BackgroundTasks

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
"""Celery leaves sockets of a Redis that went away to the garbage collector."""
SECONDS = 1.0
"""How long a receiver is waited for."""
PROBLEMS = {
    "refuses": "the receiver answered HTTP 422",
    "redirects": "which is not followed",
    "slow": "did not answer within 1 s",
    "drips": "did not answer within 1 s",
}
PATHS = ("ok", "fails", "busy", "gone", "refuses", "redirects", "slow", "drips", "large")


@dataclass(kw_only=True)
class Site:
    """A worker's Celery on a database and a Redis; `receiver` starts and ends the other side."""

    folder: Path
    redis: RedisServer
    database: Database
    queue: CeleryQueue
    port: int
    secret: str
    number: int = 0
    ids: list[str] = field(default_factory=list)

    @contextmanager
    def receiver(self) -> Iterator[None]:
        argv = [sys.executable, "-m", "tests.integration.notifications.receiver", str(self.port), str(self.log)]
        process = subprocess.Popen(argv)
        try:
            until(self._listens)
            yield
        finally:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def log(self) -> Path:
        return self.folder / "received"

    def received(self, path: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [found for found in map(json.loads, lines) if found["path"] == path]

    def end(self) -> str:
        self.number += 1
        run = claimed(self.database, self.number)
        self.database.runs.move(lease_of(run), RunState.RUNNING)
        self.database.runs.move(lease_of(run), RunState.COMPLETE)
        self.queue.deliver_notifications(run.id)
        self.ids.append(run.id)
        return run.id

    def notifications(self, hook: str) -> dict[str, Notification]:
        page = self.database.notifications.page(ANN, 1000, None, None, None)
        return {each.run_id: each for each in page.items if each.hook == hook}

    def has_all(self, path: str) -> bool:
        return {json.loads(each["body"])["subject"] for each in self.received(path)} >= set(self.ids)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(notification, "FIRST_DELAY", timedelta(seconds=0.3))
    monkeypatch.setattr(notification, "LONGEST_DELAY", timedelta(seconds=5))
    monkeypatch.setitem(background.PERIODS, DELIVER_NOTIFICATIONS, 0.5)
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.5)
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    secret = tmp_path / "secret"
    secret.write_text(new_hook_secret())
    secret.chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hooks = {path: HookSettings(url=f"http://127.0.0.1:{port}/{path}", secret_file=secret) for path in PATHS}
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    folders.prepare()
    with RedisServer() as redis, closing(open_database(url)) as database, closing(CeleryQueue(redis.url)) as queue:
        cleanup = FolderCleanup(tombstones=database.tombstones, folders=folders, storages=no_storages())
        network = network_policy(("127.0.0.1",), "WES_WEBHOOK_ALLOW")
        delivery = delivery_of(
            database.notifications, hooks, SystemClock(), network, secret_file=secret, seconds=SECONDS
        )
        retention = WorkFolderCleanup(
            runs=database.retention, folders=folders, storages=no_storages(), clock=SystemClock(), keep=""
        )
        tasks = BackgroundTasks(redis.url, cleanup, retention, delivery, lambda: None)
        tasks.start()
        try:
            yield Site(
                folder=tmp_path, redis=redis, database=database, queue=queue, port=port, secret=secret.read_text()
            )
        finally:
            tasks.stop()
            until(lambda: not tasks.is_busy)
            for thread in tasks._threads[:1]:
                thread.join(PATIENCE)
            gc.collect()


def test_nothing_is_lost_while_receiver_and_redis_are_away_and_none_holds_up_another(site: Site) -> None:
    site.end()
    until(lambda: any(each.attempts for each in site.notifications("ok").values()))
    with site.receiver():
        site.end()
        until(lambda: site.has_all("/ok"))
        with site.redis.away():
            # The poke is lost, the row is not.
            site.end()
    site.end()
    with site.receiver():
        for hook in ("ok", "large", "fails", "busy"):
            until(partial(_all_are, site, hook, NotificationState.DELIVERED))
        until(partial(_all_are, site, "gone", NotificationState.FAILED))
        for hook, problem in PROBLEMS.items():
            until(partial(_has_problem, site, hook, problem))
            assert _all_are(site, hook, NotificationState.WAITING)
        began = time.monotonic()
        site.end()
        until(lambda: site.has_all("/ok"))
        # Four receivers hang or fail at the time; the longest wait would be theirs.
        assert time.monotonic() - began < PATIENCE / 2
    _check_messages(site)
    # What was redirected went nowhere else: each arrival has an id of its own hook.
    assert {each["headers"]["webhook-id"] for each in site.received("/ok")} == {f"{name}-ended-ok" for name in site.ids}


def _has_problem(site: Site, hook: str, problem: str) -> bool:
    return any(problem in (each.problem or "") for each in site.notifications(hook).values())


def _all_are(site: Site, hook: str, state: NotificationState) -> bool:
    found = site.notifications(hook)
    return set(site.ids) == found.keys() and all(each.state is state for each in found.values())


def _check_messages(site: Site) -> None:
    """Each attempt has the same id and body, and a signature that the official library takes."""
    first: dict[str, str] = {}
    for each in site.received("/fails"):
        event = Webhook(site.secret).verify(each["body"], each["headers"])
        assert each["headers"]["content-type"].startswith("application/cloudevents+json")
        assert (event["specversion"], event["type"]) == ("1.0", "org.wes-tes.run.ended")
        assert each["headers"]["webhook-id"] == f"{event['subject']}-ended-fails"
        assert first.setdefault(event["subject"], each["body"]) == each["body"]
    assert first.keys() >= set(site.ids[:-1])
    busy = [each["time"] for each in site.received("/busy") if site.ids[0] in each["body"]]
    assert busy[1] - busy[0] >= 3


def test_a_runs_own_hook_is_told_and_a_failed_one_is_delivered_again_on_request(site: Site) -> None:
    run = a_run(1)
    parameters = {"webhook": f"http://127.0.0.1:{site.port}/gone"}
    site.database.runs.add(replace(run, request=replace(run.request, workflow_engine_parameters=parameters)), None)
    with site.receiver():
        site.database.runs.cancel(ANN, run.id)
        site.queue.deliver_notifications(run.id)
        until(lambda: any(each.state is NotificationState.FAILED for each in site.notifications("").values()))
        (failed,) = site.notifications("").values()
        assert (failed.attempts, failed.problem) == (1, "the receiver wants no more (HTTP 410)")
        site.database.notifications.redeliver(ANN, failed.id, SystemClock().now())
        until(lambda: len(site.received("/gone")) >= 3)
    own = [each for each in site.received("/gone") if each["headers"]["webhook-id"] == f"{run.id}-ended"]
    assert len(own) == 2
    assert json.loads(own[0]["body"])["data"]["state"] == "CANCELED"

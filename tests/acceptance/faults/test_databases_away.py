"""A database that hangs, that is gone or that is locked, while tasks run, start and end."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from tests.acceptance.faults.bad_day import (
    LEASE,
    Afterwards,
    afterwards,
    new_folder,
    single,
    submit,
    wait_for_tasks,
)
from tests.acceptance.faults.proxy import HANG, REFUSE, Proxy
from tests.acceptance.replicas import Cluster
from tests.acceptance.stack import embedded_only
from tests.http_client import http
from tests.postgres_fixture import GIVEN, Postgres, parted
from tests.redis_fixture import real_redis

pytestmark = [embedded_only, pytest.mark.timeout(600)]
SHORT, LONG = 20.0, 120.0
Days = dict[str, Future[Afterwards]]


def postgresql_away(postgres: Postgres) -> Afterwards:
    """It hangs for 20 s, then it is gone for 2 minutes; runs are under way each time."""
    with postgres.database() as url, real_redis() as redis, new_folder() as folder:
        real = make_url(url)
        proxy = Proxy(target=f"{real.query['host']}/.s.PGSQL.5432")
        through = real.set(host="127.0.0.1", port=proxy.port, query={})
        bare, password = parted(through.render_as_string(hide_password=False))
        cluster = Cluster(
            data=folder, database_url=bare, password=password, redis_url=redis, slots=2, environment=LEASE
        )
        try:
            cluster.start_tes()
            api = cluster.add_api()
            cluster.add_worker()
            cluster.add_worker()
            api.wait_until_ready()
            first = [submit(api.wes, 5), submit(api.wes, 12)]
            wait_for_tasks(api.wes, *first)
            proxy.fault = HANG
            time.sleep(SHORT)
            proxy.fault = None
            second = submit(api.wes, 20)
            wait_for_tasks(api.wes, second)
            proxy.fault = REFUSE
            began = time.monotonic()
            with suppress(httpx.TransportError):
                assert http.get(f"{api.wes.url}/runs/{second}").status_code == 503
            time.sleep(max(0.0, began + LONG - time.monotonic()))
            proxy.fault = None
            return afterwards(api.wes, cluster, *first, second)
        finally:
            cluster.stop()
            proxy.close()


def sqlite_locked() -> Afterwards:
    """Another program holds the file for 2 minutes, as a backup or a shell does that somebody forgot."""
    with new_folder() as folder, single(folder) as (wes, cluster):
        runs = [submit(wes, 5), submit(wes, 45)]
        wait_for_tasks(wes, *runs)
        with _locked(wes.data / "wes.sqlite"):
            time.sleep(LONG)
        return afterwards(wes, cluster, *runs)


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    connection = sqlite3.connect(database, timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.fixture(scope="module")
def days(postgres: Postgres, cwl_installation: object) -> Iterator[Days]:
    """Side by side, as all but a few seconds of them are waiting."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            "postgresql": pool.submit(postgresql_away, postgres),
            "sqlite": pool.submit(sqlite_locked),
        }


@pytest.mark.skipif(bool(GIVEN), reason="the proxy stands before the socket of the server that the tests start")
def test_a_postgresql_that_is_away_for_20_seconds_and_for_2_minutes_costs_runs_nothing_but_time(days: Days) -> None:
    days["postgresql"].result().check()


def test_a_sqlite_that_is_locked_for_2_minutes_costs_runs_nothing_but_time(days: Days) -> None:
    days["sqlite"].result().check()

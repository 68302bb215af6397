"""A TES that answers 401, 403, 404, 500, garbage or nothing for 2 minutes, while tasks run, begin and are cancelled."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.acceptance.faults.bad_day import ENDS_WITHIN, Afterwards, afterwards, new_folder, submit, wait_for_tasks
from tests.acceptance.faults.proxy import HANG, Proxy, http_answer
from tests.acceptance.replicas import Cluster, Replica
from tests.acceptance.stack import embedded_only
from tests.http_client import http
from tests.postgres_fixture import Postgres, parted
from tests.redis_fixture import real_redis
from wes_cli import programs

pytestmark = [embedded_only, pytest.mark.timeout(900)]
AWAY = 120.0
Days = dict[str, tuple[Afterwards, Afterwards]]
ANSWERS: dict[str, bytes | str] = {
    "401": http_answer(401),
    "403": http_answer(403),
    "404": http_answer(404),
    "500": http_answer(500),
    "garbage": b"\x00\xffgarbage\r\n\r\n" * 50,
    "nothing": HANG,
}


def claimed(worker: Replica) -> set[str]:
    return {line["run_id"] for line in worker.logged("claim")}


def through(cluster: Cluster, proxy: Proxy) -> Replica:
    """A worker that reaches the TES through the proxy."""
    return cluster.add_worker(WES_TES_URLS=f"http://127.0.0.1:{proxy.port}{programs.TES_BASE}")


@contextmanager
def proxied(postgres: Postgres) -> Iterator[tuple[Cluster, dict[str, Proxy]]]:
    """A cluster in which each worker has a way of its own to the one TES, and each way will have a fault of its own."""
    with postgres.database() as url, real_redis() as redis, new_folder() as folder:
        bare, password = parted(url)
        cluster = Cluster(data=folder, database_url=bare, password=password, redis_url=redis, slots=2)
        proxies: dict[str, Proxy] = {}
        try:
            cluster.start_tes(TES_CPUS=str(4 * len(ANSWERS)))
            tes = programs.embedded_tes(folder)
            proxies.update({name: Proxy(target=str(tes.socket)) for name in ANSWERS})
            api = cluster.add_api()
            api.wait_until_ready()
            yield cluster, proxies
        finally:
            cluster.stop()
            for proxy in proxies.values():
                proxy.close()


@pytest.fixture(scope="module")
def days(postgres: Postgres, cwl_installation: object) -> Iterator[Days]:
    """For each kind of answer what became of the runs: those that went on or began meanwhile, and one that was
    cancelled meanwhile."""
    with proxied(postgres) as (cluster, proxies), ThreadPoolExecutor(len(ANSWERS)) as pool:
        workers = dict(zip(proxies, pool.map(lambda proxy: through(cluster, proxy), proxies.values()), strict=True))
        wes = cluster.apis[0].wes
        runs = [submit(wes, 75) for _ in range(2 * len(ANSWERS))]
        wait_for_tasks(wes, *runs)
        for name, proxy in proxies.items():
            proxy.fault = ANSWERS[name]
        began = time.monotonic()
        unwanted = {name: min(claimed(worker)) for name, worker in workers.items()}
        for run_id in unwanted.values():
            assert http.post(f"{wes.url}/runs/{run_id}/cancel").status_code == httpx.codes.OK
        # They begin where one that was cancelled leaves its place.
        more = [submit(wes, 3) for _ in ANSWERS]
        time.sleep(max(0.0, began + AWAY - time.monotonic()))
        for proxy in proxies.values():
            proxy.fault = None
        for run_id in (*runs, *more):
            wes.wait(run_id, seconds=ENDS_WITHIN)
        yield {
            name: (
                afterwards(wes, cluster, *sorted(claimed(worker) - {unwanted[name]})),
                afterwards(wes, cluster, unwanted[name]),
            )
            for name, worker in workers.items()
        }


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_a_tes_that_answers_nonsense_for_2_minutes_costs_a_run_nothing_but_time(days: Days, kind: str) -> None:
    went_on = days[kind][0]
    assert len(went_on.runs) == 2, went_on.told()
    went_on.check()


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_what_is_cancelled_while_its_tes_answers_nonsense_is_cancelled_there_later(days: Days, kind: str) -> None:
    days[kind][1].check("CANCELED")

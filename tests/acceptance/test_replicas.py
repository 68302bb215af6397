"""Two APIs and two workers on one PostgreSQL and one Redis; and `wes up` on PostgreSQL."""

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.acceptance.conftest import StartWes, open_folder
from tests.acceptance.replicas import Api, Cluster, Replica
from tests.acceptance.stack import embedded_only
from tests.acceptance.workflows import BRANCHES, ECHO, form, parts
from tests.http_client import http
from tests.postgres_fixture import Postgres, parted
from tests.redis_fixture import real_redis
from tests.waiting import until

pytestmark = embedded_only
RUNS = 8


@pytest.fixture(scope="module")
def cluster(postgres: Postgres, cwl_installation: object) -> Iterator[Cluster]:
    folder = open_folder()
    with real_redis() as redis, postgres.database() as url:
        bare, password = parted(url)
        started = Cluster(data=folder, database_url=bare, password=password, redis_url=redis, alone=True)
        try:
            started.start_tes()
            yield started
        finally:
            started.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> tuple[Api, Api]:
    """Two APIs that were started at the same moment, on a database without tables, and two workers."""
    a, b = cluster.add_api(), cluster.add_api()
    cluster.add_worker()
    cluster.add_worker()
    a.wait_until_ready()
    b.wait_until_ready()
    return a, b


def echo(api: Api, word: str = "x") -> str:
    return api.wes.submit(form(workflow_params=f'{{"word": "{word}"}}'), parts(ECHO))


def sleeping(api: Api, seconds: int = 600) -> str:
    """A run whose one task has begun, as its worker knows."""
    run_id = api.wes.submit(form(workflow_params=f'{{"seconds": [{seconds}]}}'), parts(BRANCHES))

    def has_begun() -> bool:
        return any("start_time" in task for task in api.wes.get(f"/runs/{run_id}/tasks")["task_logs"])

    until(has_begun, lambda: str(api.wes.get(f"/runs/{run_id}")))
    return run_id


def holder(workers: list[Replica], run_id: str) -> int:
    """Which of the workers claimed the run."""
    (found,) = [n for n, worker in enumerate(workers) if run_id in {line["run_id"] for line in worker.logged("claim")}]
    return found


def test_every_run_is_done_once_by_one_of_the_workers_and_seen_on_every_api(
    cluster: Cluster, pair: tuple[Api, Api]
) -> None:
    a, b = pair
    runs = [echo((a, b)[number % 2], f"n{number}") for number in range(RUNS)]
    assert {run["run_id"] for run in b.wes.get("/runs")["runs"]} >= set(runs)
    for run_id in runs:
        assert a.wes.wait(run_id)["state"] == "COMPLETE"
        assert b.wes.state(run_id) == "COMPLETE"
    claims = Counter(line["run_id"] for worker in cluster.workers for line in worker.logged("claim"))
    assert {run_id: claims[run_id] for run_id in runs} == dict.fromkeys(runs, 1)
    assert all(worker.logged("claim") for worker in cluster.workers), "one of the workers did everything"
    assert len(cluster.tasks(*runs)) == RUNS
    log = b.wes.get(f"/runs/{runs[0]}")
    assert http.get(log["outputs"]["said"]["location"]).text == "n0\n"


def test_a_page_token_holds_on_another_api_and_after_a_restart(pair: tuple[Api, Api]) -> None:
    a, b = pair
    runs = [echo(a) for _ in range(5)]
    first = a.wes.get("/runs?page_size=2")
    later = echo(b)
    second = b.wes.get(f"/runs?page_size=2&page_token={first['next_page_token']}")
    a.stop()
    assert b.wes.get("/runs?page_size=2")["runs"][0]["run_id"] == later
    a.start()
    a.wait_until_ready()
    third = a.wes.get(f"/runs?page_size=2&page_token={second['next_page_token']}")
    listed = [run["run_id"] for page in (first, second, third) for run in page["runs"]]
    assert listed[:5] == runs[::-1]
    assert later not in listed


def test_a_run_is_cancelled_through_the_api_that_did_not_take_it(cluster: Cluster, pair: tuple[Api, Api]) -> None:
    a, b = pair
    run_id = sleeping(a)
    assert http.post(f"{b.wes.url}/runs/{run_id}/cancel").json() == {"run_id": run_id}
    assert a.wes.wait(run_id)["state"] == "CANCELED"
    assert {task["state"] for task in cluster.tasks(run_id)} == {"CANCELED"}


@pytest.mark.parametrize("how", ["killed", "stopped", "paused"])
def test_the_run_of_a_worker_that_is_lost_goes_on_with_the_other_and_its_step_runs_once(
    cluster: Cluster, pair: tuple[Api, Api], how: str
) -> None:
    a, b = pair
    workers = list(cluster.workers)
    run_id = sleeping(a, 15)
    lost, other = (workers[n] for n in ((0, 1) if holder(workers, run_id) == 0 else (1, 0)))
    began = time.monotonic()
    children = end(lost, how)
    until(lambda: run_id in {line["run_id"] for line in other.logged("take_over")})
    print(f"{how}: taken over {time.monotonic() - began:.1f} s after it began")
    queued = [echo(b) for _ in range(2)]
    log = b.wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    what = "was stopped" if how == "stopped" else "was lost"
    assert any(what in line and "attempt 2" in line for line in log["run_log"]["system_logs"])
    for one in queued:
        assert a.wes.wait(one)["state"] == "COMPLETE"
    if how == "paused":
        assert lost.child.process is not None
        os.kill(lost.child.process.pid, signal.SIGCONT)
    assert not psutil.wait_procs(children, timeout=60)[1], "the engine outlived its worker's hold on the run"
    assert b.wes.get(f"/runs/{run_id}")["run_log"] == log["run_log"], "a worker wrote that had lost the run"
    assert Counter(task["state"] for task in cluster.tasks(run_id, *queued)) == {"COMPLETE": 3}
    if how != "paused":
        cluster.workers.remove(lost)
        cluster.add_worker()


def end(worker: Replica, how: str) -> list[psutil.Process]:
    """What the worker had started by then."""
    if how == "killed":
        return worker.kill()
    assert worker.child.process is not None
    children = psutil.Process(worker.child.process.pid).children(recursive=True)
    if how == "paused":
        os.kill(worker.child.process.pid, signal.SIGSTOP)
        return children
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 10
    return children


def test_the_password_of_the_database_is_nowhere_but_in_its_file(cluster: Cluster, pair: tuple[Api, Api]) -> None:
    assert pair[0].wes.wait(echo(pair[1]))["state"] == "COMPLETE"
    shown = "".join(program.command_line() for program in cluster.programs()) + cluster.said()
    for program in cluster.programs():
        assert program.child.process is not None
        shown += str(psutil.Process(program.child.process.pid).environ())
    for secret in (cluster.password, quote(cluster.password, safe="")):
        assert secret not in shown


def test_wes_up_runs_on_postgresql_and_finds_its_runs_again(
    postgres: Postgres, start_wes: StartWes, open_tmp: Path
) -> None:
    with postgres.database() as url:
        bare, password = parted(url)
        secret = open_tmp / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        given = {"WES_DATABASE_PASSWORD_FILE": str(secret)}
        wes = start_wes("--database", bare, environment=given)
        run_id = wes.submit(form(workflow_params='{"word": "hello"}'), parts(ECHO))
        assert wes.wait(run_id)["state"] == "COMPLETE"
        assert not (wes.data / "wes.sqlite").exists()
        assert password not in " ".join(" ".join(argv) for _, argv in wes.commands()) + wes.said()
        assert wes.stop() == 0
        again = start_wes("--database", bare, environment=given)
        assert again.get(f"/runs/{run_id}")["state"] == "COMPLETE"
        assert again.stop() == 0

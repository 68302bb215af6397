"""Large runs and long lists over HTTP, on a real database."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.bench.filled import BATCHES, RARE, add_crowded_run, fill, run_id
from tests.integration.api.server import Server, running_server

RUNS = 3_000
TASKS = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("scale")
    fill(folder / "wes.sqlite", RUNS)
    add_crowded_run(folder / "wes.sqlite", TASKS)
    with running_server(folder) as running:
        yield running


def walk(server: Server, path: str, key: str, **query: str | list[str]) -> Iterator[dict[str, object]]:
    """All items; every page but the last must be full."""
    token = ""
    with httpx.Client() as client:
        while True:
            asked: dict[str, str | list[str]] = {"page_size": "700", **query}
            page = client.get(server.url + path, params=asked | ({"page_token": token} if token else {})).json()
            yield from page[key]
            token = page["next_page_token"]
            assert len(page[key]) == 700 or not token
            if not token:
                return


def test_ten_thousand_tasks_are_all_there_in_the_order_of_their_submission(server: Server) -> None:
    names = [task["name"] for task in walk(server, "/runs/crowded/tasks", "task_logs")]
    assert names == [f"count_reads_{number}" for number in range(TASKS)]


def test_a_run_with_ten_thousand_tasks_shows_the_first_thousand_as_the_list_does(server: Server) -> None:
    run = httpx.get(f"{server.url}/runs/crowded").json()
    first = httpx.get(f"{server.url}/runs/crowded/tasks", params={"page_size": 1000}).json()
    assert run["task_logs"] == first["task_logs"]
    assert len(run["task_logs"]) == 1000
    assert run["progress"]["done"] == TASKS


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, set(range(RUNS))),
        ({"state": "EXECUTOR_ERROR"}, {n for n in range(RUNS) if 92 <= n % 100 < 97}),
        ({"state": ["CANCELED", "SYSTEM_ERROR"]}, {n for n in range(RUNS) if n % 100 >= 97}),
        ({"workflow_type": ["smk", "nextflow"]}, {n for n in range(RUNS) if n // 3 % 20 >= 12}),
        ({"tag": "batch:17"}, set(range(17, RUNS, BATCHES))),
        ({"tag": ["batch:17", "project:3"]}, {n for n in range(17, RUNS, BATCHES) if n % 7 == 3}),
        ({"tag": RARE}, {0, 1, 2}),
        ({"tag": "project:3", "state": "COMPLETE"}, {n for n in range(3, RUNS, 7) if n % 100 < 92}),
        ({"search": "batch:1"}, {n for n in range(RUNS) if f"{n % BATCHES}".startswith("1")}),
    ],
)
def test_a_filter_finds_all_that_fits_the_newest_first(
    server: Server, query: dict[str, str | list[str]], expected: set[int]
) -> None:
    found = [str(run["run_id"]) for run in walk(server, "/runs", "runs", **query)]
    numbers = [int(one[2:]) for one in found if one != "crowded"]
    assert numbers == sorted(expected, reverse=True)


def test_the_filled_database_counts_its_runs_right(server: Server) -> None:
    counts = httpx.get(f"{server.url}/service-info").json()["system_state_counts"]
    states = Counter(str(run["state"]) for run in walk(server, "/runs", "runs"))
    states["COMPLETE"] -= 1  # The crowded one came by another way.
    assert counts == states


def test_a_deleted_run_is_gone_after_a_restart_too(tmp_path: Path) -> None:
    fill(tmp_path / "wes.sqlite", 100)
    with running_server(tmp_path) as server:
        assert httpx.delete(f"{server.url}/runs/{run_id(7)}").status_code == 200
        assert httpx.get(f"{server.url}/runs/{run_id(7)}").status_code == 404
    with running_server(tmp_path) as server:
        assert httpx.delete(f"{server.url}/runs/{run_id(7)}").status_code == 200
        assert len(list(walk(server, "/runs", "runs"))) == 99

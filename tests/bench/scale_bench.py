"""How reads over HTTP fare as runs pile up: the real server on SQLite, with 1,000 runs and with a million.

    WES_BENCH_RUNS=1000000 .venv/bin/python -m tests.bench.scale_bench

Both servers answer in turn, so that whatever else the machine does falls on both.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from statistics import median

import httpx

from common.times import wes_time
from tests.bench.filled import BEGAN, RARE, SPACING, add_crowded_run, fill, run_id
from tests.integration.api.server import Server, running_server

SMALL = 1_000
LARGE = int(os.environ.get("WES_BENCH_RUNS", "1000000"))
TASKS = 10_000
TIMES = 60
DISK_PER_RUN = 1800


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wes-bench-", dir="/var/tmp") as place, ExitStack() as stack:
        servers = [_filled(stack, Path(place, f"{number}"), number) for number in (SMALL, LARGE)]
        crowded = add_crowded_run(Path(place, f"{LARGE}", "wes.sqlite"), TASKS)
        print(f"{'p50 over HTTP, in ms':44} {f'{SMALL:,} runs':>12} {f'{LARGE:,} runs':>15} {'ratio':>7}")
        with httpx.Client() as client:
            _compare(client, servers)
            _crowded(client, servers[1], crowded)


def _filled(stack: ExitStack, folder: Path, number: int) -> Server:
    folder.mkdir()
    began = time.perf_counter()
    fill(folder / "wes.sqlite", number)
    print(f"{f'filled with {number:,} runs':44} {time.perf_counter() - began:12.1f} s")
    return stack.enter_context(running_server(folder))


def _compare(client: httpx.Client, servers: list[Server]) -> None:
    sizes = (SMALL, LARGE)
    middles = [client.get(f"{server.url}/runs").json()["next_page_token"] for server in servers]
    _both("GET /runs, page of 50", servers, lambda server, _: _get(client, server, "/runs"))
    second = dict(zip(sizes, middles, strict=True))
    _both("GET /runs, next page", servers, lambda server, n: _get(client, server, "/runs", page_token=second[n]))
    _both("GET /runs/{id}", servers, lambda server, n: _get(client, server, f"/runs/{run_id(n // 2)}"))
    _both("GET /runs/{id}/status", servers, lambda server, n: _get(client, server, f"/runs/{run_id(n // 2)}/status"))
    for name, query in _filters().items():
        _both(f"GET /runs?{name}", servers, lambda server, n, query=query: _get(client, server, "/runs", **query(n)))  # type: ignore[misc]


def _filters() -> dict[str, Callable[[int], dict[str, object]]]:
    """Each by the number of runs that there are, as what lies in the middle depends on it."""

    def week(number: int) -> dict[str, object]:
        middle = BEGAN + number // 2 * SPACING
        return {"since": wes_time(middle - timedelta(days=7)), "until": wes_time(middle)}

    return {
        "state=EXECUTOR_ERROR": lambda _: {"state": "EXECUTOR_ERROR"},
        "state=RUNNING&state=QUEUED (none)": lambda _: {"state": ["RUNNING", "QUEUED"]},
        "workflow_type=NFL": lambda _: {"workflow_type": "NFL"},
        "workflow_type=SMK&state=SYSTEM_ERROR": lambda _: {"workflow_type": "SMK", "state": "SYSTEM_ERROR"},
        "tag=batch:7": lambda _: {"tag": "batch:7"},
        "tag=rare:yes (3 runs)": lambda _: {"tag": RARE},
        "tag=batch:7&tag=project:3": lambda _: {"tag": ["batch:7", "project:3"]},
        "tag=project:3&state=CANCELED": lambda _: {"tag": "project:3", "state": "CANCELED"},
        "since, until (a week)": week,
        "since, until, state": lambda number: {**week(number), "state": "EXECUTOR_ERROR"},
        "search=batch:7 (one in twenty)": lambda _: {"search": "batch:7"},
        "search=nowhere (every run is read)": lambda _: {"search": "nowhere"},
    }


def _both(what: str, servers: list[Server], ask: Callable[[Server, int], object]) -> None:
    seconds: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for turn in range(TIMES):
        for server, number in zip(servers, (SMALL, LARGE), strict=True):
            if turn == 0 or sum(seconds[number]) < 5:
                began = time.perf_counter()
                ask(server, number)
                seconds[number].append(time.perf_counter() - began)
    small, large = (1000 * median(seconds[number]) for number in (SMALL, LARGE))
    print(f"{what:44} {small:12.2f} {large:15.2f} {large / small:7.2f}")


def _crowded(client: httpx.Client, server: Server, run: str) -> None:
    pages = f"/runs/{run}/tasks"
    token = _get(client, server, pages, page_size=1000)["next_page_token"]
    print(f"a run with {TASKS:,} tasks: p50 over HTTP, in ms")
    _one("GET /runs/{id}/tasks, page of 50", lambda: _get(client, server, pages))
    _one("GET /runs/{id}/tasks, a later page of 50", lambda: _get(client, server, pages, page_token=token))
    _one("GET /runs/{id}/tasks, page of 1,000", lambda: _get(client, server, pages, page_size=1000))
    _one("GET /runs/{id} (with 1,000 task_logs)", lambda: _get(client, server, f"/runs/{run}"))
    _one("GET /runs/{id}/status", lambda: _get(client, server, f"/runs/{run}/status"))


def _one(what: str, ask: Callable[[], object]) -> None:
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    print(f"  {what:42} {1000 * median(seconds):12.2f}")


def _get(client: httpx.Client, server: Server, path: str, **query: object) -> dict[str, str]:
    answer = client.get(server.url + path, params=query, timeout=60)  # type: ignore[arg-type]
    answer.raise_for_status()
    document: dict[str, str] = {"next_page_token": ""} if answer.content.find(b"next_page_token") < 0 else answer.json()
    return document


if __name__ == "__main__":
    main()

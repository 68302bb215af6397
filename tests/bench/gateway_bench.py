"""What 10,000 open tasks cost a worker's gateway, and how long it takes with each task while they are open.

    .venv/bin/python -m tests.bench.gateway_bench [TASKS]

The gateway, its database and its TES are processes; engines are coroutines here, which ask as ours do: each task by a
request of its own that waits for a change, for 30 seconds. The floor is the same request sent to the TES itself.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from sqlalchemy import Connection, insert

from common.engine import RUN_ROOT, RunFolder
from common.json_types import JsonObject
from common.logs import configure_logs
from common.run_root import RunRoot
from gateway import server
from gateway.http_api import BASE, ConnectionLimiter
from gateway.server import Gateway
from gateway.session import RunScope
from sandbox.identity import foreign_identity
from tes.task import TAG_GATEWAY, TAG_KEY, TAG_TASK, TASK_TERMINAL, Task, TaskState, readable_task
from tests.contract.store.stores import ANN, ENGINES, a_run, lease_of
from wes_cli.private_server import free_port
from wes_service.settings import Settings
from wes_service.store import rows
from wes_service.store.database import Database, SystemClock, open_database, upgrade
from wes_service.store.schema import TASKS as TASK_TABLE

TASKS = 10_000
PER_RUN = 250
"""About as many as an engine may have connections."""
SEEDED = "gateway-0"
"""The gateway that sent the tasks that are open at the beginning."""
SETTLE_SECONDS = 45.0
IDLE_SECONDS = 45.0
WAIT_SECONDS = 30
LAST_SECONDS = 60
STEPS = 150
"""Tasks whose times are measured, ten a second, while all others are open."""
BODY: JsonObject = {
    "name": "align",
    "executors": [{"image": "debian:stable", "command": ["sh", "-c", "sleep 600"]}],
    "inputs": [{"path": f"/in/{n}", "url": f"file:///wes/run/work/{n}/reads.fastq.gz"} for n in range(5)],
    "outputs": [{"path": f"/out/{n}", "url": f"file:///wes/run/work/{n}/aligned.bam"} for n in range(3)],
}


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else TASKS
    with tempfile.TemporaryDirectory(prefix="wes-bench-", dir="/var/tmp") as place, contextlib.ExitStack() as stack:
        tes = f"http://127.0.0.1:{free_port()}"
        stack.enter_context(_process("tests.bench.many_tasks_tes", str(urlsplit(tes).port)))
        worker = stack.enter_context(_process("tests.bench.gateway_bench", "--gateway", place, tes, str(number)))
        assert worker.stdout is not None
        address = json.loads(worker.stdout.readline())
        asyncio.run(_Bench(tes=tes, worker=psutil.Process(worker.pid), **address).run(number))


@contextmanager
def _process(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-m", module, *arguments]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(argv, stdout=pipe, stdin=pipe, stderr=nowhere, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass(kw_only=True)
class _Bench:
    tes: str
    worker: psutil.Process
    port: int
    tokens: Sequence[str]
    posted: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    asked: int = 0
    _waits: set["asyncio.Task[None]"] = field(default_factory=set)

    async def run(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self.tes, timeout=60) as bench:
            for n in range(number):
                self._wait(f"task-{n:06}", self.tokens[n // PER_RUN])
            await asyncio.sleep(SETTLE_SECONDS)
            await self._measured(bench, f"{number:,} tasks, nothing changes", asyncio.sleep(IDLE_SECONDS))
            await self._steps(bench)

    def _wait(self, task_id: str, token: str) -> None:
        self._waits.add(asyncio.create_task(self._wait_for(task_id, token)))

    async def post(self, number: int) -> str:
        """Posts a task of one of the runs, and has it waited for from then on; the gateway's id."""
        token, began = self.tokens[number % len(self.tokens)], time.monotonic()
        async with _connection(self.port) as ask:
            task_id = str((await ask("POST", f"{BASE}/tasks", token, BODY))["id"])
        self.posted[task_id] = began
        self._wait(task_id, token)
        return task_id

    async def _wait_for(self, task_id: str, token: str) -> None:
        # Engines ask at different times.
        await asyncio.sleep(random.uniform(0, WAIT_SECONDS))
        async with _connection(self.port) as ask:
            state = ""
            while state not in TASK_TERMINAL:
                self.asked += 1
                state = (await ask("GET", f"{BASE}/tasks/{task_id}", token))["state"]
        self.seen[task_id] = time.monotonic()

    async def _told(self, bench: httpx.AsyncClient) -> Mapping[str, Any]:
        told: Mapping[str, Any] = (await bench.get("/bench")).json()
        return told

    async def _measured(self, bench: httpx.AsyncClient, what: str, work: Any) -> None:
        before, asked, cpu = (await self._told(bench))["requests"], self.asked, self.worker.cpu_times()
        began = time.monotonic()
        await work
        seconds, used = time.monotonic() - began, self.worker.cpu_times()
        after = (await self._told(bench))["requests"]
        share = (used.user + used.system - cpu.user - cpu.system) / seconds
        made = sum(after.values()) - sum(before.values())
        print(f"{what}, for {seconds:.0f} s")
        print(f"  {'share of a core':42} {100 * share:9.1f} %")
        per_ask = 1000 * share * seconds / max(self.asked - asked, 1)
        print(f"  {'processor time for each that engines ask':42} {per_ask:9.2f} ms")
        print(f"  {'memory':42} {self.worker.memory_info().rss / 1e6:9.0f} MB")
        print(f"  {'engines ask':42} {(self.asked - asked) / seconds:9.1f} /s")
        print(f"  {'the TES is asked':42} {made / seconds:9.1f} /s", flush=True)
        print(f"  {'times fewer':42} {(self.asked - asked) / max(made, 1):9.1f}", flush=True)

    async def _steps(self, bench: httpx.AsyncClient) -> None:
        floor: list[float] = []

        async def work() -> None:
            for n in range(STEPS):
                await bench.post("/bench", json={"before": "RUNNING", "after": "COMPLETE", "number": 1})
                await bench.post("/bench", json={"before": "QUEUED", "after": "RUNNING", "number": 1})
                self._waits.add(asyncio.create_task(self._step(n)))
                floor.append(await self._floor())
                await asyncio.sleep(0.1)
            # All that ended while they were started is seen in the end; what counts is when.
            for _ in range(LAST_SECONDS):
                await asyncio.sleep(1)
                if not set((await self._told(bench))["ended"]) - set(self.seen):
                    break

        known = set(self.posted)
        await self._measured(bench, f"{STEPS} tasks come, begin and end", work())
        told = await self._told(bench)
        came = told["came"]
        new = [came[task_id] - at for task_id, at in self.posted.items() if task_id not in known and task_id in came]
        ends = [self.seen[task_id] - at for task_id, at in told["ended"].items() if task_id in self.seen]
        print(f"  {'tasks that were handed over':42} {len(new):9} of {STEPS}")
        print(f"  {'ends that the engine has seen':42} {len(ends):9} of {len(told['ended'])}")
        for name, times in (("floor: POST to the TES itself", floor), ("POST until handed over", new)):
            _print_times(name, times, floor)
        _print_times("end on the TES until seen", ends, floor)

    async def _step(self, number: int) -> None:
        await self.post(number)

    async def _floor(self) -> float:
        began = time.monotonic()
        port = urlsplit(self.tes).port or 0
        async with _connection(port) as ask:
            await ask("POST", "/ga4gh/tes/v1/tasks", "", {**BODY, "tags": {}})
        return time.monotonic() - began


def _print_times(name: str, seconds: Sequence[float], floor: Sequence[float]) -> None:
    if len(seconds) < 2:
        return
    p50, p99 = 1000 * median(seconds), 1000 * quantiles(seconds, n=100)[98]
    print(f"  {name:42} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   {p50 / 1000 / median(floor):6.1f} x")


@asynccontextmanager
async def _connection(port: int) -> AsyncIterator[Any]:
    """A kept connection that costs little here: one request after the other, answered with JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(method: str, path: str, token: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\nPrefer: wait={WAIT_SECONDS}\r\n"
        )
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        raw = await reader.readexactly(length)
        assert answer.startswith(b"HTTP/1.1 200"), raw
        return json.loads(raw)

    try:
        yield ask
    finally:
        writer.close()


def _gateway(folder: Path, tes: str, number: int) -> None:
    """The process that is measured: a gateway that takes over runs with open tasks; it ends with its input."""
    parts: Any = server
    # Its connections are of many runs, which it can't tell over TCP.
    parts.ConnectionLimiter = lambda uids: ConnectionLimiter(uids, 2 * number)
    configure_logs("INFO")
    url = f"sqlite:///{folder}/wes.sqlite"
    upgrade(url)
    database = open_database(url)
    settings = Settings(data=folder, tes_urls=(f"{tes}{BASE}",))
    gateway = Gateway(settings, database.tasks, SystemClock(), folder / "gw", on_tcp=True)
    gateway.start()
    httpx.post(f"{tes}/seed", json={"number": number, "gateway": SEEDED}, timeout=60).raise_for_status()
    tokens = []
    for first in range(0, number, PER_RUN):
        scope = _scope(database, folder, first)
        tasks = [_open_task(scope, n, f"{tes}{BASE}") for n in range(first, min(first + PER_RUN, number))]
        database.transactions.write(partial(_insert, tasks))
        for task in tasks:
            scope.folder.task_logs(task.id).mkdir(parents=True)
        tokens.append(gateway.reopen_session(scope, ending=False).token)
    print(json.dumps({"port": gateway.tcp_port, "tokens": tokens}), flush=True)
    sys.stdin.read()


def _scope(database: Database, folder: Path, number: int) -> RunScope:
    database.runs.add(a_run(number, ANN), None)
    run = database.runs.claim("w1", ENGINES)
    assert run is not None
    root = RunFolder(root=folder / run.id, seen_root=RUN_ROOT)
    for path in (root.root, root.work, root.attachments, root.logs):
        path.mkdir()
    return RunScope(lease=lease_of(run), owner=ANN, root=RunRoot(folder=root), identity=foreign_identity(64321))


def _open_task(scope: RunScope, number: int, url: str) -> Task:
    # Without a key nobody would find it again, and it would be cancelled.
    tags = {TAG_TASK: f"task-{number:06}", TAG_GATEWAY: SEEDED, TAG_KEY: f"step-{number:06}"}
    body = readable_task({**BODY, "tags": tags})
    state = TaskState.QUEUED if number % 2 else TaskState.RUNNING
    return Task(
        id=f"task-{number:06}",
        run_id=scope.lease.run_id,
        name="align",
        key=tags[TAG_KEY],
        state=state,
        tes_url=url,
        tes_id=str(number),
        created=datetime.now(UTC),
        body=body,
    )


def _insert(tasks: Sequence[Task], connection: Connection) -> None:
    connection.execute(insert(TASK_TABLE), [rows.task_values(task) for task in tasks])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--gateway"]:
        _gateway(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()

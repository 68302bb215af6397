"""Five hundred listeners on a real server, which answers others meanwhile."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.contract.store.stores import ENGINES, a_run, lease_of
from tests.integration.api.server import BASE, Server, running_server
from wes_service.core.run import ANONYMOUS, Run, RunState
from wes_service.store.database import Database, open_database

LISTENERS = 500
RUNS = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("streams")) as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    with closing(open_database(f"sqlite:///{server.data / 'wes.sqlite'}")) as database:
        yield database


async def listen(server: Server, run_id: str, last: int | None = None) -> tuple[str, float]:
    """All that came until the server ended it, and when that was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"GET {BASE}/runs/{run_id}/events/stream HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    writer.write((head + (f"Last-Event-ID: {last}\r\n" if last is not None else "") + "\r\n").encode())
    text = (await reader.read()).decode()
    writer.close()
    return text, time.monotonic()


def begun(database: Database, number: int) -> Run:
    database.runs.add(a_run(number, ANONYMOUS), None)
    run = database.runs.claim("w", ENGINES)
    assert run is not None
    return run


def test_five_hundred_listeners_hear_the_end_and_starve_nobody(server: Server, database: Database) -> None:
    runs = [begun(database, number) for number in range(RUNS)]

    async def scenario() -> tuple[list[float], list[tuple[str, float]], float]:
        tasks = [asyncio.create_task(listen(server, runs[at % RUNS].id)) for at in range(LISTENERS)]
        await asyncio.sleep(3)
        async with httpx.AsyncClient(trust_env=False) as client:
            times = []
            for _ in range(20):
                began = time.monotonic()
                assert (await client.get(f"{server.url}/runs")).status_code == 200
                times.append(time.monotonic() - began)
        for run in runs:
            await asyncio.to_thread(database.runs.move, lease_of(run), RunState.RUNNING)
        ended = time.monotonic()
        for run in runs:
            await asyncio.to_thread(database.runs.move, lease_of(run), RunState.COMPLETE)
        return times, await asyncio.wait_for(asyncio.gather(*tasks), 60), ended

    times, heard, ended = asyncio.run(scenario())
    for text, _ in heard:
        assert [line for line in text.splitlines() if line.startswith("data: ")][-1].endswith('"state":"COMPLETE"}')
        assert text.count("event: state") == 4
    slowest = max(when for _, when in heard) - ended
    median = sorted(times)[10]
    print(f"GET /runs: {median * 1000:.0f} ms, {max(times) * 1000:.0f} ms at worst; the end after {slowest:.1f} s")
    assert median < 1
    assert slowest < 15


def test_a_server_that_is_to_stop_waits_for_no_stream(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, socket.socket() as client:
        with closing(open_database(f"sqlite:///{server.data / 'wes.sqlite'}")) as database:
            run = begun(database, 1)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {BASE}/runs/{run.id}/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        began, log = time.monotonic(), server.log
    assert time.monotonic() - began < 4
    assert "Cancel" not in log.read_text()
    assert '"level": "error"' not in log.read_text()


def test_who_was_cut_off_goes_on_behind_the_last_event(server: Server, database: Database) -> None:
    run = begun(database, 100)

    async def scenario() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET {BASE}/runs/{run.id}/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        text = (await reader.readuntil(b"INITIALIZING")).decode()
        writer.close()
        last = int([line for line in text.splitlines() if line.startswith("id: ")][-1].removeprefix("id: "))
        task = asyncio.create_task(listen(server, run.id, last))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(database.runs.move, lease_of(run), RunState.SYSTEM_ERROR)
        return (await asyncio.wait_for(task, 60))[0]

    text = asyncio.run(scenario())
    assert text.count("event: state") == 1
    assert "SYSTEM_ERROR" in text

"""How fast the SQLite stores are: runs added a second, and whether pages and claims slow down as runs pile up.

.venv/bin/python tests/bench/store_bench.py [--rows 200000] [--folder /var/tmp]
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).parents[2]))

from common.paging import Cursor
from tests.contract.store.stores import ANN, BOB, ENGINES, NOON, a_run, lease_of
from wes_service.core.run import Owner, Run, RunState
from wes_service.store import rows
from wes_service.store.database import Database, open_database, upgrade
from wes_service.store.dialect import upsert
from wes_service.store.schema import RUN_COUNTS, RUN_REQUESTS, RUNS

SMALL = 1_000
BATCH = 5_000
THREADS = 16
"""Requests that a server has in hand at once."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        url = f"sqlite:///{folder}/wes.sqlite"
        upgrade(url)
        database = open_database(url)
        _adds(database)
        _fill(database, SMALL, since=0)
        _reads(database, SMALL)
        _fill(database, options.rows - SMALL, since=SMALL)
        _reads(database, options.rows)
        _claims(database, options.rows)
        database.close()
        print(f"{'size of the database':44} {Path(folder, 'wes.sqlite').stat().st_size / 1e6:9.0f} MB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", default="/var/tmp", help="on the disk to measure")
    return parser.parse_args()


def _adds(database: Database) -> None:
    """Durable adds, by one caller and by as many as a busy server has; other owners than those of the pages."""
    for threads, number in ((1, 300), (THREADS, 2000)):
        runs = [a_run(10_000_000 * threads + n, Owner(issuer="bench", subject=f"{n % 7}")) for n in range(number)]
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda run: database.runs.add(run, None), runs))
        print(f"{f'durable adds, {threads} at once':44} {number / (time.perf_counter() - start):9.0f} /s")


def _fill(database: Database, number: int, since: int) -> None:
    """Finished runs of one owner, and one in a hundred queued."""
    for first in range(since, since + number, BATCH):
        runs = [_filler(n) for n in range(first, min(first + BATCH, since + number))]
        database.transactions.write(partial(_insert, runs))


def _filler(number: int) -> Run:
    run = a_run(number, BOB if number % 3 == 0 else ANN)
    return run if number % 100 == 0 else replace(run, state=RunState.COMPLETE)


def _insert(runs: list[Run], connection: Connection) -> None:
    connection.execute(RUNS.insert(), [rows.run_values(run, None) for run in runs])
    connection.execute(RUN_REQUESTS.insert(), [rows.request_values(run) for run in runs])
    for (owner, state), number in Counter((run.owner, run.state) for run in runs).items():
        row = {"issuer": owner.issuer, "subject": owner.subject, "state": state.value, "runs": number}
        upsert(connection, RUN_COUNTS, row, {"runs": RUN_COUNTS.c.runs + number})


def _reads(database: Database, size: int) -> None:
    first = database.runs.page(ANN, 50, None)
    assert len(first.items) == 50
    middle = Cursor(created=NOON + timedelta(seconds=size // 2), id="")
    _report(f"first page of 50 at {size:,} runs", lambda: database.runs.page(ANN, 50, None))
    _report(f"middle page of 50 at {size:,} runs", lambda: database.runs.page(ANN, 50, middle))
    _report(f"GET of one run at {size:,} runs", lambda: database.runs.get(ANN, first.items[7].id))
    _report(f"counts at {size:,} runs", database.runs.counts)


def _claims(database: Database, size: int) -> None:
    """Claim and end, as a worker does; then the look of an idle worker for whom there is nothing."""

    def claim_and_end() -> None:
        run = database.runs.claim("w1", ENGINES)
        assert run is not None
        database.runs.move(lease_of(run), RunState.SYSTEM_ERROR)

    _report(f"claim and end at {size:,} runs", claim_and_end, times=100)
    queued = database.runs.counts()[RunState.QUEUED]
    _report(f"look in vain past {queued:,} queued runs", lambda: database.runs.claim("w2", {"wdl": ("1",)}))
    _report(f"what one holds at {size:,} runs", lambda: database.runs.held("w1"))
    _report(f"who holds any at {size:,} runs", database.runs.holders)


def _report(what: str, work: Callable[[], object], times: int = 200) -> None:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(f"{what:44} {1000 * median(seconds):9.2f} ms  (p95 {1000 * quantiles(seconds, n=20)[-1]:.2f} ms)")


if __name__ == "__main__":
    main()

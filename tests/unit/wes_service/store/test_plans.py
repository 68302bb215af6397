"""No query of a hot path reads more rows than it returns, however many runs there are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from tests.contract.store.stores import ANN, ENGINES, a_run, a_task, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.paging import Cursor
from wes_service.store.database import Database, open_database, upgrade


class Statements:
    """Every SELECT and UPDATE that was sent, with SQLite's plan for it."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, str]] = []

    def clear(self) -> None:
        self.plans.clear()

    def __call__(self, _: Connection, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            self.plans.append((statement, "\n".join(row[3] for row in explained)))

    def full_scans(self) -> list[tuple[str, str]]:
        small = ("SCAN owners", "SCAN waiting", "SCAN run_counts", "SCAN workers", "SCAN CONSTANT ROW")
        return [
            (statement, line)
            for statement, plan in self.plans
            for line in plan.splitlines()
            if line.startswith("SCAN") and not line.startswith(small)
        ]


@pytest.fixture
def statements() -> Iterator[Statements]:
    recorder = Statements()
    event.listen(Engine, "before_cursor_execute", recorder)
    yield recorder
    event.remove(Engine, "before_cursor_execute", recorder)


@pytest.fixture
def database(tmp_path: Path, clock: FakeClock) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'wes.sqlite'}"
    upgrade(url)
    opened = open_database(url, clock)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_no_query_scans_the_runs_or_the_tasks(database: Database, statements: Statements, clock: FakeClock) -> None:
    statements.clear()
    for number in range(3):
        database.runs.add(a_run(number), None)
    run = database.runs.claim("w1", ENGINES, 10)
    assert run is not None
    database.tasks.add(lease_of(run), a_task(1, run))
    database.tasks.update(a_task(1, run))
    database.tasks.open(run.id)
    database.tasks.counts(run.id)
    database.tasks.page(run.id, 2, Cursor(created=run.created, id=""))
    database.runs.page(ANN, 2, Cursor(created=run.created, id=""))
    database.runs.events(ANN, run.id)
    database.runs.counts()
    database.runs.renew("w1", 10)
    clock.advance(60)
    assert database.runs.take_over("w2", 10) is not None
    assert database.runs.cancel(ANN, run.id).worker == "w2"
    assert len(statements.plans) > 20
    assert statements.full_scans() == []


def test_pages_need_no_sorting(database: Database, statements: Statements) -> None:
    for number in range(3):
        database.runs.add(a_run(number), None)
    statements.clear()
    database.runs.page(ANN, 2, Cursor(created=a_run(2).created, id="z"))
    database.tasks.page(a_run(1).id, 2, Cursor(created=a_run(2).created, id=""))
    (_, runs), (_, tasks) = statements.plans
    assert "runs_by_age (issuer=? AND subject=? AND (created,id)<(?,?))" in runs
    assert "tasks_by_age (run_id=? AND (created,id)>(?,?))" in tasks
    assert "TEMP B-TREE" not in runs + tasks


def test_a_claim_reads_the_queue_and_not_the_history(database: Database, statements: Statements) -> None:
    database.runs.add(a_run(1), None)
    statements.clear()
    database.runs.claim("w1", ENGINES, 10)
    choices = [plan for statement, plan in statements.plans if "cwltool" in statement or "engine" in statement]
    queue = "INDEX runs_by_state (issuer=? AND subject=? AND state=?)"
    assert sum(queue in plan for plan in choices) == 3
    assert "TEMP B-TREE" not in choices[-1]


def test_lost_runs_are_found_among_the_held_ones(database: Database, statements: Statements) -> None:
    assert database.runs.take_over("w1", 10) is None
    database.runs.renew("w1", 10)
    assert len(statements.plans) == 2
    for _, plan in statements.plans:
        assert "runs_held (lease_until" in plan

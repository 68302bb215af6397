"""No query of a hot path reads more rows than it returns, however many runs there are."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, event

from common.hooks import HookSettings
from common.json_types import Json
from common.paging import Cursor, TaskCursor
from sandbox.identity import foreign_identity
from tes.task import TAG_RUN, View
from tests.contract.store.stores import ANN, ENGINES, a_run, a_task, lease_of
from tests.fakes.clock import FakeClock
from wes_service.core.links import Links
from wes_service.core.notification import NotificationState
from wes_service.core.run import RunFilter, RunState
from wes_service.services.runs import RunReader
from wes_service.services.tes_reader import TaskFilter, TesReader
from wes_service.services.waiting import WaitingRuns
from wes_service.storage.run_folders import RunFolders
from wes_service.store.database import Database, open_database, upgrade

SMALL = (
    "SCAN owners",
    "SCAN waiting",
    "SCAN run_counts",
    "SCAN workers",
    "SCAN CONSTANT ROW",
    "SCAN counted",
    "SCAN deleted_runs USING INDEX deleted_runs_unpurged",
)


class Statements:
    """Every SELECT, UPDATE and DELETE that was sent, with SQLite's plan for it."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, str]] = []

    def clear(self) -> None:
        self.plans.clear()

    def __call__(self, _: Connection, cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            self.plans.append((statement, "\n".join(row[3] for row in explained)))

    def full_scans(self) -> list[tuple[str, str]]:
        return [
            (statement, line)
            for statement, plan in self.plans
            for line in plan.splitlines()
            if line.startswith("SCAN") and not line.startswith(SMALL)
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
    run = database.runs.claim("w1", ENGINES)
    assert run is not None
    database.tasks.add(lease_of(run), a_task(1, run))
    database.tasks.update(lease_of(run), a_task(1, run))
    database.tasks.due_cancels(clock.now(), 10)
    database.tasks.open(run.id)
    database.tasks.counts(run.id)
    database.tasks.page(run.id, 2, Cursor(created=run.created, id=""))
    database.runs.page(ANN, 2, Cursor(created=run.created, id=""))
    database.runs.events(ANN, run.id)
    database.runs.counts()
    database.runs.counts(ANN)
    database.retention.ended_before(run.created, 2, None)
    assert set(database.runs.held("w1")) == {run.id}
    database.runs.held_run(lease_of(run))
    assert database.runs.take_over("w2", {"w1": None}, ENGINES) is not None
    assert database.runs.cancel(ANN, run.id).worker == "w2"
    assert len(statements.plans) > 20
    assert statements.full_scans() == []


def test_what_only_checks_a_runs_owner_reads_neither_its_request_nor_its_outputs(
    database: Database, statements: Statements, tmp_path: Path
) -> None:
    database.runs.add(a_run(1), None)
    run = database.runs.claim("w1", ENGINES)
    assert run is not None
    task = a_task(1, run)
    database.tasks.add(lease_of(run), task)
    reader = RunReader(
        runs=database.runs,
        tasks=database.tasks,
        files=RunFolders(tmp_path / "runs", foreign_identity(64321)),
        waiting=WaitingRuns(runs=database.runs, workers=database.workers),
    )
    links = Links(base="http://localhost")
    statements.clear()
    assert reader.status(ANN, run.id)["state"] == "INITIALIZING"
    assert len(cast("list[Json]", reader.task_page(ANN, run.id, 10, "", links)["task_logs"])) == 1
    assert reader.task(ANN, run.id, task.id, links)["id"] == task.id
    reader.engine_stream(ANN, run.id, "stdout")
    reader.task_stream(ANN, run.id, task.id, "stdout")
    shown = TesReader(tasks=database.tasks).page(ANN, TaskFilter(tags={TAG_RUN: run.id}), 10, "", View.MINIMAL)
    assert "tasks" in shown
    assert len(statements.plans) >= 8
    assert [text for text, _ in statements.plans if "run_requests" in text or "runs.outputs" in text] == []


@pytest.mark.parametrize("engines", [{"none": ("1",)}, {"cwltool": ("9",)}])
def test_a_claim_that_finds_no_run_for_its_engines_scans_no_run(
    database: Database, statements: Statements, engines: dict[str, tuple[str, ...]]
) -> None:
    for number in range(3):
        database.runs.add(a_run(number, version="3.1"), None)
    statements.clear()
    assert database.runs.claim("w1", engines) is None
    assert statements.plans
    assert statements.full_scans() == []
    assert all("runs_queued (issuer=? AND subject=?" in plan for _, plan in statements.plans)


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


@pytest.mark.parametrize("run_id", [None, a_run(1).id])
def test_tasks_of_all_runs_are_one_query_that_goes_by_the_indexes(
    database: Database, statements: Statements, run_id: str | None
) -> None:
    run = Cursor(created=a_run(2).created, id=a_run(2).id)
    statements.clear()
    database.tasks.all_of(ANN, 2, TaskCursor(run=run, task=run), run_id)
    ((_, plan),) = statements.plans
    assert statements.full_scans() == []
    assert "tasks_by_age (run_id=?" in plan
    assert run_id or "runs_by_age (issuer=? AND subject=? AND (created,id)<(?,?))" in plan
    # At most the tasks of one run are sorted.
    assert "TEMP B-TREE FOR ORDER BY" not in plan


MIDDLE = Cursor(created=a_run(2).created, id="z")
TAGGED = RunFilter(tags=frozenset({"number:1"}))
FAILED = RunFilter(states=frozenset({RunState.SYSTEM_ERROR}))
OF_CWL = RunFilter(engines=frozenset({"cwltool"}))


@pytest.mark.parametrize(
    ("wanted", "lead"),
    [
        (RunFilter(search="x"), "runs_by_age (issuer=? AND subject=?"),
        (FAILED, "runs_by_state (issuer=? AND subject=? AND state=?"),
        (OF_CWL, "runs_by_engine (issuer=? AND subject=? AND engine=?"),
        (replace(FAILED, engines=OF_CWL.engines), "runs_by_state (issuer=? AND subject=? AND state=?"),
        (TAGGED, "run_tags USING PRIMARY KEY (tag=?"),
        (replace(TAGGED, engines=OF_CWL.engines), "run_tags USING PRIMARY KEY (tag=?"),
        (replace(TAGGED, tags=frozenset({"number:1", "a:b"})), "run_tags USING PRIMARY KEY (tag=?"),
    ],
)
@pytest.mark.parametrize("after", [None, MIDDLE])
def test_a_filtered_page_is_read_along_one_index_and_not_sorted(
    database: Database, statements: Statements, wanted: RunFilter, lead: str, after: Cursor | None
) -> None:
    for number in range(3):
        database.runs.add(a_run(number), None)
    statements.clear()
    database.runs.page(ANN, 2, after, replace(wanted, since=a_run(0).created, until=a_run(9).created))
    _, plan = statements.plans[-1]
    assert lead in plan.splitlines()[0]
    assert "created>? AND created<?" in plan.splitlines()[0]
    assert "TEMP B-TREE" not in plan
    assert statements.full_scans() == []


@pytest.mark.parametrize("wanted", [FAILED, TAGGED, OF_CWL, RunFilter()])
def test_a_later_page_before_a_time_begins_at_its_cursor(
    database: Database, statements: Statements, wanted: RunFilter
) -> None:
    database.runs.page(ANN, 2, MIDDLE, replace(wanted, until=a_run(9).created))
    assert "(created," in statements.plans[-1][1].splitlines()[0]


def test_several_states_are_merged_from_their_newest_runs(database: Database, statements: Statements) -> None:
    database.runs.page(ANN, 50, MIDDLE, RunFilter(states=frozenset(RunState)))
    ((_, plan),) = statements.plans
    assert plan.count("runs_by_state (issuer=? AND subject=? AND state=? AND (created,id)<(?,?))") == len(RunState)


def test_the_rarer_condition_leads(database: Database, statements: Statements) -> None:
    for number in range(5):
        database.runs.add(a_run(number), None)
    statements.clear()
    queued = RunFilter(states=frozenset({RunState.QUEUED}), tags=frozenset({"number:1"}))
    assert [run.id for run in database.runs.page(ANN, 2, None, queued).items] == [a_run(1).id]
    assert "run_tags USING PRIMARY KEY (tag=?)" in statements.plans[-1][1]
    database.runs.cancel(ANN, a_run(1).id)
    assert database.runs.page(ANN, 2, None, replace(queued, states=frozenset({RunState.RUNNING}))).items == []
    assert "runs_by_state" in statements.plans[-1][1].splitlines()[0]


def test_a_deletion_finds_its_rows_by_indexes(database: Database, statements: Statements) -> None:
    database.runs.add(a_run(1), None)
    database.runs.cancel(ANN, a_run(1).id)
    database.runs.delete(ANN, a_run(1).id)
    database.tombstones.page(5, MIDDLE)
    database.tombstones.unpurged()
    database.tombstones.purged(a_run(1).id)
    database.tombstones.unknown_runs(["a", "b"])
    assert len([statement for statement, _ in statements.plans if statement.startswith("DELETE")]) == 6
    assert statements.full_scans() == []


def test_a_claim_reads_the_queue_and_not_the_history(database: Database, statements: Statements) -> None:
    database.runs.add(a_run(1), None)
    statements.clear()
    database.runs.claim("w1", ENGINES)
    choices = [plan for statement, plan in statements.plans if "cwltool" in statement or "engine" in statement]
    queue = "INDEX runs_queued (issuer=? AND subject=?)"
    assert sum(queue in plan for plan in choices) == 3
    assert "TEMP B-TREE" not in choices[-1]
    statements.clear()
    database.runs.claim("w1", ENGINES, 1)
    assert statements.full_scans() == []


def test_lost_runs_are_found_among_the_held_ones(database: Database, statements: Statements) -> None:
    for number in range(3):
        database.runs.add(a_run(number), None)
    statements.clear()
    database.runs.held("w1")
    database.runs.holders()
    assert database.runs.take_over("w1", {"w2": None}, ENGINES) is None
    of_one, of_all, beats, lost = (plan for _, plan in statements.plans)
    assert "runs_held (worker=?" in of_one
    assert "runs_held (worker=?" in lost
    assert "USING INDEX runs_held" in of_all or "USING COVERING INDEX runs_held" in of_all
    assert "SCAN" not in beats


def test_runs_whose_work_folder_is_kept_are_read_along_their_own_index(
    database: Database, statements: Statements
) -> None:
    database.runs.add(a_run(1), None)
    database.runs.cancel(ANN, a_run(1).id)
    statements.clear()
    database.retention.ended_before(FakeClock().now() + timedelta(days=9), 10, MIDDLE)
    [(_, plan)] = statements.plans
    assert "USING INDEX runs_work_kept (" in plan
    assert "TEMP B-TREE" not in plan


def test_what_workers_ask_of_notifications_and_events_all_the_time_goes_by_indexes(
    database: Database, statements: Statements, clock: FakeClock
) -> None:
    database.runs.add(a_run(1), None)
    database.runs.cancel(ANN, a_run(1).id)
    statements.clear()
    store, now = database.notifications, clock.now()
    hooks = {"lims": HookSettings(url="https://lims.example/", secret_file=Path("secret"))}
    assert store.assign(hooks, now)
    (target,) = store.due_targets(now)
    found = store.take(target, now)
    assert found is not None
    store.record(found, found)
    store.postpone(found, now, now)
    store.page(ANN, 5, Cursor(created=now, id="x"), None, None)
    store.page(ANN, 5, None, a_run(1).id, NotificationState.WAITING)
    store.redeliver(ANN, found.id, now)
    store.counts()
    database.runs.events_after({a_run(1).id: 0, "another": 7})
    assert len(statements.plans) > 12
    assert statements.full_scans() == []

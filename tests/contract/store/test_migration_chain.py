"""The whole chain of migrations, up and down, on every kind of database; new revisions are covered as they come."""

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import column, inspect, make_url, select, table, text

from common.errors import SettingsError
from tests.contract.store.stores import ANN, NOON, a_run, a_task, lease_of
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import Run, RunState
from wes_service.store.database import open_database, upgrade
from wes_service.store.dialect import exclusive_transaction, parse_url
from wes_service.store.migration import database_status, downgrade
from wes_service.store.schema import METADATA, to_micros

FIRST = "0001"
KEY = IdempotencyKey(key="k", digest="d")
CREATED = to_micros(NOON)
WHO = {"issuer": ANN.issuer, "subject": ANN.subject}
Rows = dict[str, dict[str, Any]]

AS_WRITTEN: Rows = {
    "runs": {
        **WHO,
        "id": "run-1",
        "state": "RUNNING",
        "created": CREATED,
        "started": CREATED + 1,
        "ended": None,
        "epoch": 1,
        "worker": "w1",
        "engine": "cwltool",
        "engine_version": "3.1",
        "idempotency_key": KEY.key,
        "idempotency_digest": KEY.digest,
        "tags": '{"lab":"na\\u00efve \\u0000"}',
        "reason": "So far ☃.",
        "process": '{"argv":["cwltool"],"started":null,"ended":null,"exit_code":null}',
        "system_logs": '["one"]',
        "outputs": '{"out":[1]}',
    },
    "run_requests": {
        "run_id": "run-1",
        "attachments": '["main.cwl"]',
        "request": '{"workflow_type":"CWL","workflow_type_version":"v1.2","workflow_url":"main.cwl",'
        '"workflow_params":{"n":1},"workflow_engine_parameters":{}}',
    },
    "run_events": {"run_id": "run-1", "time": CREATED, "state": "QUEUED", "reason": None},
    "run_counts": {**WHO, "state": "RUNNING", "runs": 1},
    "tasks": {
        "id": "task-1",
        "run_id": "run-1",
        "state": "RUNNING",
        "created": CREATED + 2,
        "attempt": 1,
        "key": "count/1",
        "name": "count",
        "tes_url": "http://tes",
        "tes_id": "7",
        "reason": None,
        "body": '{"executors":[]}',
        "document": '{"state":"RUNNING"}',
    },
    "workers": {"id": "w1", "host": "here", "sandbox": "bubblewrap", "engines": '{"cwltool":["3.1"]}', "seen": CREATED},
}
"""One row of each table, as the first revision of the service stored them."""


def fill(url: str) -> None:
    with exclusive_transaction(parse_url(url)) as connection:
        for name, row in AS_WRITTEN.items():
            connection.execute(table(name, *map(column, row)).insert(), row)


def stored(url: str) -> Rows:
    """What of `AS_WRITTEN` is there."""
    with exclusive_transaction(parse_url(url)) as connection:
        return {
            name: dict(connection.execute(select(*map(column, row)).select_from(table(name))).mappings().one())
            for name, row in AS_WRITTEN.items()
        }


def tables(url: str) -> set[str]:
    with exclusive_transaction(parse_url(url)) as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def difference(url: str) -> list[Any]:
    """Between the tables that are there and those that the code uses."""
    with exclusive_transaction(parse_url(url)) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, METADATA))


def test_up_makes_what_the_code_uses_and_down_leaves_nothing(empty_url: str) -> None:
    for _ in range(2):
        upgrade(empty_url)
        assert difference(empty_url) == []
        downgrade(empty_url, "base")
        assert tables(empty_url) == set()
    assert database_status(empty_url).current is None


def test_rows_of_the_first_revision_are_kept_up_and_down_and_up(empty_url: str) -> None:
    upgrade(empty_url)
    downgrade(empty_url, FIRST)
    fill(empty_url)
    for _ in range(2):
        upgrade(empty_url)
        assert stored(empty_url) == AS_WRITTEN
        assert difference(empty_url) == []
        downgrade(empty_url, FIRST)
        assert stored(empty_url) == AS_WRITTEN


def test_rows_of_the_first_revision_are_read_by_this_program(empty_url: str) -> None:
    upgrade(empty_url)
    downgrade(empty_url, FIRST)
    fill(empty_url)
    upgrade(empty_url)
    database = open_database(empty_url)
    run = database.runs.get(ANN, "run-1")
    assert (run.state, run.worker, run.epoch, run.created) == (RunState.RUNNING, "w1", 1, NOON)
    assert (run.request.workflow_params, run.request.tags) == ({"n": 1}, {"lab": "naïve \0"})
    assert (run.reason, run.system_logs, run.outputs) == ("So far ☃.", ("one",), {"out": [1]})
    assert [summary.id for summary in database.runs.page(ANN, 10, None).items] == ["run-1"]
    assert [event.state for event in database.runs.events(ANN, "run-1")] == [RunState.QUEUED]
    assert database.tasks.get("run-1", "task-1").tes_id == "7"
    assert database.runs.counts() == {RunState.RUNNING: 1}
    assert database.runs.add(a_run(2), KEY).id == "run-1"
    database.close()


def test_new_rows_survive_a_step_down_and_up_again(empty_url: str) -> None:
    upgrade(empty_url)
    before = add_run(empty_url)
    downgrade(empty_url, FIRST)
    upgrade(empty_url)
    database = open_database(empty_url)
    assert database.runs.get(ANN, before.id) == before
    assert database.tasks.page(before.id, 10, None).items == [a_task(1, before)]
    database.close()


def add_run(url: str) -> Run:
    """A claimed run with a task."""
    database = open_database(url)
    database.runs.add(a_run(1), None)
    run = database.runs.claim("w1", {"cwltool": ("3.1",)})
    assert run is not None
    database.tasks.add(lease_of(run), a_task(1, run))
    database.close()
    return run


def test_a_database_of_a_newer_version_is_left_alone_and_the_way_back_is_named(empty_url: str) -> None:
    upgrade(empty_url)
    newest = database_status(empty_url).newest
    with exclusive_transaction(parse_url(empty_url)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (upgrade, lambda url: downgrade(url, "base")):
        with pytest.raises(SettingsError, match=f"newer than this program.*9999.*'wes database downgrade {newest}'"):
            use(empty_url)
    assert (database_status(empty_url).current, database_status(empty_url).newest) == ("9999", newest)


def test_the_chain_is_one_line_from_the_first_revision(empty_url: str) -> None:
    upgrade(empty_url)
    newest = database_status(empty_url).newest
    assert database_status(empty_url).current == newest
    for unknown in ("nonsense", "0000", "-1"):
        with pytest.raises(SettingsError, match=f"only to one of: base, {FIRST}"):
            downgrade(empty_url, unknown)
    assert database_status(empty_url).current == newest


def test_a_database_can_not_be_taken_back_to_where_it_has_not_been(empty_url: str) -> None:
    with pytest.raises(SettingsError, match="only to one of: base"):
        downgrade(empty_url, FIRST)


def test_a_look_at_a_database_makes_nothing_and_shows_no_password(empty_url: str) -> None:
    seen = database_status(empty_url)
    assert seen.current is None
    password = make_url(empty_url).password
    assert password is None or password not in seen.server
    assert seen.server.startswith(("SQLite, ", "PostgreSQL "))
    assert not Path(make_url(empty_url).database or "").exists()

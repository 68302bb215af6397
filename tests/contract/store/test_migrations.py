"""Migrations up and down, on every kind of database, with runs in it."""

import json
from collections.abc import Callable
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from tests.contract.store.stores import ANN, a_run, claimed, lease_of
from wes_service.core.run import RunFilter, RunState
from wes_service.store.database import open_database, upgrade
from wes_service.store.dialect import exclusive_transaction, parse_url
from wes_service.store.migration import MIGRATIONS


def migrate(url: str, to: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with exclusive_transaction(parse_url(url)) as connection:
        config.attributes["connection"] = connection
        to(config, revision)


def look(url: str, work: Callable[[Connection], Any]) -> Any:
    with exclusive_transaction(parse_url(url)) as connection:
        return work(connection)


def shape(url: str) -> dict[str, Any]:
    """Tables with the names of their columns and indexes."""

    def read(connection: Connection) -> dict[str, Any]:
        found = inspect(connection)
        return {
            name: (
                sorted(column["name"] for column in found.get_columns(name)),
                sorted(str(index["name"]) for index in found.get_indexes(name)),
            )
            for name in found.get_table_names()
        }

    shape: dict[str, Any] = look(url, read)
    return shape


def test_runs_from_before_the_filters_are_found_by_them(empty_url: str) -> None:
    migrate(empty_url, command.upgrade, "0001")
    old = {
        "id": "run-000001", "issuer": ANN.issuer, "subject": ANN.subject, "state": "QUEUED", "created": 1,
        "epoch": 0, "engine": "cwltool", "tags": json.dumps({"Batch": "ü:7"}), "process": "{}", "system_logs": "[]",
        "outputs": "{}", "idempotency_key": "k", "idempotency_digest": "d",
    }  # fmt: skip
    request = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "Align/main.cwl"}

    def fill(connection: Connection) -> None:
        for number in range(1, 2503):
            row = {**old, "id": f"run-{number:06}", "idempotency_key": f"k{number}"}
            names = ", ".join(row)
            places = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO runs ({names}) VALUES ({places})"), row)  # noqa: S608
            connection.execute(
                text("INSERT INTO run_requests VALUES (:id, '[]', :request)"),
                {"id": row["id"], "request": json.dumps(request)},
            )

    look(empty_url, fill)
    upgrade(empty_url)
    database = open_database(empty_url)
    for wanted in (RunFilter(tags=frozenset({"Batch:ü:7"})), RunFilter(search="lign/m"), RunFilter(search="batch:ü")):
        page = database.runs.page(ANN, 1000, None, wanted)
        seen = len(page.items)
        while page.next is not None:
            page = database.runs.page(ANN, 1000, page.next, wanted)
            seen += len(page.items)
        assert seen == 2502
    database.close()


def test_down_and_up_again_gives_the_same_tables_and_keeps_the_runs(empty_url: str) -> None:
    upgrade(empty_url)
    database = open_database(empty_url)
    run = claimed(database)
    ended = database.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    database.runs.add(a_run(2), None)
    database.close()
    newest = shape(empty_url)
    migrate(empty_url, command.downgrade, "0001")
    before = shape(empty_url)
    assert "run_tags" not in before
    assert "search" not in before["runs"][0]
    assert "runs_queued" in before["runs"][1]
    upgrade(empty_url)
    assert shape(empty_url) == newest
    database = open_database(empty_url)
    assert database.runs.get(ANN, run.id) == ended
    assert [one.id for one in database.runs.page(ANN, 5, None, RunFilter(tags=frozenset({"number:2"}))).items] == [
        a_run(2).id
    ]
    database.close()


def test_down_gives_the_tables_of_that_time(empty_url: str) -> None:
    migrate(empty_url, command.upgrade, "0001")
    first = shape(empty_url)
    upgrade(empty_url)
    migrate(empty_url, command.downgrade, "0001")
    assert shape(empty_url) == first

"""Tasks in the database."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select, tuple_, update

from wes_service.core.errors import TaskNotFound
from wes_service.core.paging import Cursor, Page
from wes_service.core.ports import Lease
from wes_service.core.run import Owner
from wes_service.core.task import TASK_TERMINAL, Task
from wes_service.store import rows
from wes_service.store.lazy_json import LazyObject
from wes_service.store.ledger import held_row, owned_by
from wes_service.store.schema import RUNS, TASKS, place_of
from wes_service.store.transactions import Transactions

IS_OPEN = TASKS.c.state.not_in(sorted(state.value for state in TASK_TERMINAL))


class SqlTaskStore:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, lease: Lease, task: Task) -> None:
        self._transactions.write(lambda connection: _add(connection, lease, task))

    def update(self, task: Task) -> None:
        self._transactions.write(lambda connection: _update(connection, task))

    def get(self, run_id: str, task_id: str) -> Task:
        query = select(TASKS).where(TASKS.c.run_id == run_id, TASKS.c.id == task_id)
        row = self._transactions.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise TaskNotFound
        return rows.task_of(row)

    def find(self, owner: Owner, task_id: str) -> Task:
        query = select(TASKS).join(RUNS, RUNS.c.id == TASKS.c.run_id).where(TASKS.c.id == task_id, owned_by(owner))
        row = self._transactions.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise TaskNotFound
        return rows.task_of(row)

    def page(self, run_id: str, size: int, after: Cursor | None) -> Page[Task]:
        query = select(TASKS).where(TASKS.c.run_id == run_id).order_by(TASKS.c.created, TASKS.c.id).limit(size + 1)
        if after is not None:
            query = query.where(tuple_(TASKS.c.created, TASKS.c.id) > place_of(after))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [rows.task_of(row, LazyObject) for row in found[:size]]
        return Page(items=items, next=rows.cursor_of(items[-1]) if len(found) > size else None)

    def open(self, run_id: str) -> Sequence[Task]:
        query = select(TASKS).where(TASKS.c.run_id == run_id, IS_OPEN).order_by(TASKS.c.created, TASKS.c.id)
        return self._transactions.read(lambda connection: [rows.task_of(row) for row in connection.execute(query)])

    def counts(self, run_id: str) -> Mapping[str, int]:
        query = select(TASKS.c.state, func.count()).where(TASKS.c.run_id == run_id).group_by(TASKS.c.state)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in found}


def _add(connection: Connection, lease: Lease, task: Task) -> None:
    held_row(connection, lease, share=True)
    connection.execute(TASKS.insert(), rows.task_values(task))


def _update(connection: Connection, task: Task) -> None:
    this = (TASKS.c.id == task.id, TASKS.c.run_id == task.run_id)
    changed = connection.execute(update(TASKS).where(*this, IS_OPEN).values(rows.task_news(task)))
    if changed.rowcount == 0 and connection.execute(select(TASKS.c.id).where(*this)).first() is None:
        raise TaskNotFound

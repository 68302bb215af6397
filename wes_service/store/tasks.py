"""Tasks in the database."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, case, func, or_, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from common.errors import TaskNotFound
from common.paging import Cursor, Page, TaskCursor
from tes.task import PendingCancel, Task, TaskState
from wes_service.core.ports import Lease
from wes_service.core.run import Owner
from wes_service.store import pending_cancels, rows
from wes_service.store.dialect import upsert
from wes_service.store.leases import lock_held, owned_by
from wes_service.store.pending_cancels import IS_OPEN
from wes_service.store.rows import LazyJsonObject
from wes_service.store.schema import EPOCH, PENDING_CANCELS, RUNS, TASKS, cursor_tuple, unindexed
from wes_service.store.transactions import Transactions


class SqlTaskStore:
    """`TaskStore` on SQLAlchemy."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, lease: Lease, task: Task) -> None:
        self._transactions.write(lambda connection: _add(connection, lease, task))

    def update(self, lease: Lease, task: Task, cancels: Sequence[PendingCancel] = ()) -> None:
        self._transactions.write(lambda connection: _update(connection, lease, task, cancels))

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
            query = query.where(tuple_(TASKS.c.created, TASKS.c.id) > cursor_tuple(after))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [rows.task_of(row, LazyJsonObject) for row in found[:size]]
        return Page(items=items, next=rows.cursor_of(items[-1]) if len(found) > size else None)

    def all_of(
        self, owner: Owner, size: int, after: TaskCursor | None, run_id: str | None = None
    ) -> Sequence[tuple[TaskCursor, Task]]:
        order = (RUNS.c.created.desc(), RUNS.c.id.desc(), TASKS.c.created, TASKS.c.id)
        query = select(TASKS, RUNS.c.created.label("run_created")).join(RUNS, RUNS.c.id == TASKS.c.run_id)
        # Every time is later than the first; that there is a bound makes SQLite use the index that is in this order.
        query = query.where(owned_by(owner), TASKS.c.created >= EPOCH).order_by(*order).limit(size)
        if run_id is not None:
            query = query.where(RUNS.c.id == run_id)
        if after is not None:
            query = query.where(*_behind(after))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return [(_place(row), rows.task_of(row, LazyJsonObject)) for row in found]

    def open(self, run_id: str) -> Sequence[Task]:
        query = select(TASKS).where(TASKS.c.run_id == run_id, IS_OPEN).order_by(TASKS.c.created, TASKS.c.id)
        return self._transactions.read(lambda connection: [rows.task_of(row) for row in connection.execute(query)])

    def counts(self, run_id: str) -> Mapping[str, int]:
        query = select(TASKS.c.state, func.count()).where(TASKS.c.run_id == run_id).group_by(TASKS.c.state)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in found}

    def reusable(
        self, owner: Owner, key: str, runs: Collection[str] | None, most: int, step_key: str | None = None
    ) -> Sequence[Task]:
        query = select(TASKS).join(RUNS, RUNS.c.id == TASKS.c.run_id).where(TASKS.c.reuse_key == key, owned_by(owner))
        query = query.where(unindexed(TASKS.c.state) == TaskState.COMPLETE.value)
        if runs is not None:
            query = query.where(unindexed(TASKS.c.run_id).in_(sorted(runs)))
        other_step = case((TASKS.c.key == step_key, 0), else_=1)
        query = query.order_by(other_step, TASKS.c.created.desc(), TASKS.c.id.desc()).limit(most)
        return self._transactions.read(lambda connection: [rows.task_of(row) for row in connection.execute(query)])

    def due_cancels(self, now: datetime, most: int) -> Sequence[PendingCancel]:
        # A look first, as in a claim: there is nearly never one.
        if not self._transactions.read(lambda connection: pending_cancels.any_due(connection, now)):
            return ()
        return self._transactions.write(lambda connection: pending_cancels.take_due(connection, now, most))

    def name_cancel(self, cancel: PendingCancel) -> None:
        self._transactions.write(lambda connection: pending_cancels.name_cancel(connection, cancel))

    def remove_cancel(self, cancel: PendingCancel) -> None:
        self._transactions.write(lambda connection: pending_cancels.remove_cancel(connection, cancel))

    def rename_tes(self, before: str, now: str) -> None:
        self._transactions.write(lambda connection: _rename_tes(connection, before, now))


def _behind(place: TaskCursor) -> tuple[ColumnElement[bool], ...]:
    """The first of the two is what an index knows; the second takes out what was seen of the run that it begins in."""
    run = tuple_(RUNS.c.created, RUNS.c.id)
    unseen = tuple_(TASKS.c.created, TASKS.c.id) > cursor_tuple(place.task)
    return run <= cursor_tuple(place.run), or_(RUNS.c.id != place.run.id, unseen)


def _place(row: rows.AnyRow) -> TaskCursor:
    return TaskCursor(run=Cursor(created=row.run_created, id=row.run_id), task=Cursor(created=row.created, id=row.id))


def _rename_tes(connection: Connection, before: str, now: str) -> None:
    for table in (TASKS, PENDING_CANCELS):
        connection.execute(update(table).where(table.c.tes_url == before).values(tes_url=now))


def _add(connection: Connection, lease: Lease, task: Task) -> None:
    lock_held(connection, lease, share=True)
    # The answer to an earlier try may have been lost with the connection.
    upsert(connection, TASKS, rows.task_values(task), {"run_id": TASKS.c.run_id})


def _update(connection: Connection, lease: Lease, task: Task, cancels: Sequence[PendingCancel]) -> None:
    lock_held(connection, lease, share=True)
    pending_cancels.add_cancels(connection, cancels)
    this = (TASKS.c.id == task.id, TASKS.c.run_id == task.run_id)
    changed = connection.execute(update(TASKS).where(*this, IS_OPEN).values(rows.task_changes(task)))
    if changed.rowcount == 0 and connection.execute(select(TASKS.c.id).where(*this)).first() is None:
        raise TaskNotFound

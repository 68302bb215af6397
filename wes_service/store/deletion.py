"""Deletes a run from all tables, and keeps a tombstone of it for an audit."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, Select, delete, func, select, tuple_, update

from common.errors import KeyOfDeletedRun, RunNotEnded, RunNotFound
from common.paging import Cursor, Page
from common.times import wes_time
from wes_service.core.ports import Clock
from wes_service.core.run import TERMINAL, Owner, Run, Tombstone, key_digest, tombstone_of
from wes_service.store import rows
from wes_service.store.leases import owned_by, record_deleted
from wes_service.store.notifications import forget_notified
from wes_service.store.rows import run_with_id
from wes_service.store.schema import (
    DELETED_RUNS,
    IS_UNPURGED,
    RUN_EVENTS,
    RUN_REQUESTS,
    RUN_TAGS,
    RUNS,
    TASKS,
    cursor_tuple,
)
from wes_service.store.transactions import Transactions

CHILD_TABLES = (TASKS, RUN_EVENTS, RUN_REQUESTS)


def delete_run(connection: Connection, owner: Owner, run_id: str, now: datetime) -> None:
    """As in `RunStore.delete`."""
    row = connection.execute(_locked(owner, run_id)).one_or_none()
    if row is None:
        _check_deleted(connection, owner, run_id)
        return
    if row.state not in TERMINAL:
        raise RunNotEnded(run_id, row.state)
    run = run_with_id(connection, run_id)
    tasks = connection.execute(select(func.count()).where(TASKS.c.run_id == run_id)).scalar_one()
    key = row.idempotency_key
    # Where runs were adopted another deleted run may have the same.
    digest = key_digest(key) if key and key_of_deleted(connection, owner, key) is None else None
    connection.execute(DELETED_RUNS.insert(), rows.tombstone_values(tombstone_of(run, tasks, now), digest))
    _remove_rows(connection, run)
    record_deleted(connection, row)


def key_of_deleted(connection: Connection, owner: Owner, key: str) -> KeyOfDeletedRun | None:
    """What to say of an Idempotency-Key whose run was deleted; None for any other."""
    query = select(DELETED_RUNS.c.id, DELETED_RUNS.c.deleted).where(
        owned_by(owner, DELETED_RUNS), DELETED_RUNS.c.key_digest == key_digest(key)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else KeyOfDeletedRun(row.id, wes_time(row.deleted))


def _locked(owner: Owner, run_id: str) -> Select[tuple[str, str, str, str | None]]:
    columns = (RUNS.c.issuer, RUNS.c.subject, RUNS.c.state, RUNS.c.idempotency_key)
    return select(*columns).where(RUNS.c.id == run_id, owned_by(owner)).with_for_update()


def _check_deleted(connection: Connection, owner: Owner, run_id: str) -> None:
    query = select(DELETED_RUNS.c.id).where(DELETED_RUNS.c.id == run_id, owned_by(owner, DELETED_RUNS))
    if connection.execute(query).one_or_none() is None:
        raise RunNotFound


def _remove_rows(connection: Connection, run: Run) -> None:
    for tag in rows.tag_values(run):
        same = (RUN_TAGS.c.tag == tag["tag"], RUN_TAGS.c.created == run.created, RUN_TAGS.c.run_id == run.id)
        connection.execute(delete(RUN_TAGS).where(*same))
    for table in CHILD_TABLES:
        connection.execute(delete(table).where(table.c.run_id == run.id))
    connection.execute(delete(RUNS).where(RUNS.c.id == run.id))
    forget_notified(connection, run.id)


UNPURGED_PER_LOOK = 1000
IDS_PER_QUERY = 500
"""Ids in one query."""


class SqlTombstoneStore:
    """`TombstoneStore` on SQLAlchemy."""

    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    def page(self, size: int, after: Cursor | None) -> Page[Tombstone]:
        place = tuple_(DELETED_RUNS.c.deleted, DELETED_RUNS.c.id)
        query = select(DELETED_RUNS).order_by(DELETED_RUNS.c.deleted.desc(), DELETED_RUNS.c.id.desc()).limit(size + 1)
        if after is not None:
            query = query.where(place < cursor_tuple(after))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [rows.tombstone_of(row) for row in found[:size]]
        last = Cursor(created=items[-1].deleted, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def unpurged(self) -> Sequence[str]:
        query = select(DELETED_RUNS.c.id).where(IS_UNPURGED).order_by(DELETED_RUNS.c.id).limit(UNPURGED_PER_LOOK)
        return self._transactions.read(lambda connection: list(connection.execute(query).scalars()))

    def is_unpurged(self, run_id: str) -> bool:
        query = select(DELETED_RUNS.c.id).where(DELETED_RUNS.c.id == run_id, IS_UNPURGED)
        return self._transactions.read(lambda connection: connection.execute(query).first()) is not None

    def purged(self, run_id: str) -> None:
        done = update(DELETED_RUNS).where(DELETED_RUNS.c.id == run_id, IS_UNPURGED).values(purged=self._clock.now())
        self._transactions.write(lambda connection: connection.execute(done))

    def unknown_runs(self, run_ids: Collection[str]) -> set[str]:
        return self._transactions.read(lambda connection: _unknown_runs(connection, run_ids))


def _unknown_runs(connection: Connection, run_ids: Collection[str]) -> set[str]:
    unknown_runs = set(run_ids)
    for some in batched(run_ids):
        for table in (RUNS, DELETED_RUNS):
            unknown_runs.difference_update(connection.execute(select(table.c.id).where(table.c.id.in_(some))).scalars())
    return unknown_runs


def batched(ids: Collection[str]) -> Iterator[list[str]]:
    """As many as one query takes at a time."""
    rest = iter(ids)
    while some := list(islice(rest, IDS_PER_QUERY)):
        yield some

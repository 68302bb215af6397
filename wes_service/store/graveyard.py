"""Tombstones in the database."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection, select, tuple_, update

from common.paging import Cursor, Page
from wes_service.core.ports import Clock
from wes_service.core.tombstone import Tombstone
from wes_service.store import rows
from wes_service.store.schema import DELETED_RUNS, IS_UNPURGED, RUNS, place_of
from wes_service.store.transactions import Transactions

MOST_UNPURGED = 1000
AT_ONCE = 500
"""Ids in one query."""


class SqlGraveyard:
    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    def page(self, size: int, after: Cursor | None) -> Page[Tombstone]:
        place = tuple_(DELETED_RUNS.c.deleted, DELETED_RUNS.c.id)
        query = select(DELETED_RUNS).order_by(DELETED_RUNS.c.deleted.desc(), DELETED_RUNS.c.id.desc()).limit(size + 1)
        if after is not None:
            query = query.where(place < place_of(after))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [rows.tombstone_of(row) for row in found[:size]]
        last = Cursor(created=items[-1].deleted, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def unpurged(self) -> Sequence[str]:
        query = select(DELETED_RUNS.c.id).where(IS_UNPURGED).order_by(DELETED_RUNS.c.id).limit(MOST_UNPURGED)
        return self._transactions.read(lambda connection: list(connection.execute(query).scalars()))

    def purged(self, run_id: str) -> None:
        done = update(DELETED_RUNS).where(DELETED_RUNS.c.id == run_id, IS_UNPURGED).values(purged=self._clock.now())
        self._transactions.write(lambda connection: connection.execute(done))

    def strangers(self, run_ids: Collection[str]) -> set[str]:
        return self._transactions.read(lambda connection: _strangers(connection, run_ids))


def _strangers(connection: Connection, run_ids: Collection[str]) -> set[str]:
    strangers = set(run_ids)
    for some in _chunks(run_ids):
        for table in (RUNS, DELETED_RUNS):
            strangers.difference_update(connection.execute(select(table.c.id).where(table.c.id.in_(some))).scalars())
    return strangers


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while some := list(islice(rest, AT_ONCE)):
        yield some

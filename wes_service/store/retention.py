"""Which runs still have their work folder, those that ended first first."""

from datetime import datetime

from sqlalchemy import Connection, select, tuple_, update

from common.paging import Cursor, Page
from wes_service.core.ports import Clock, EndedRun
from wes_service.store import rows
from wes_service.store.schema import RUNS, WORK_IS_KEPT, cursor_tuple
from wes_service.store.transactions import Transactions


class SqlRetentionStore:
    """`RetentionStore` on SQLAlchemy."""

    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    def ended_before(self, moment: datetime, size: int, after: Cursor | None) -> Page[EndedRun]:
        resuming = RUNS.alias()
        resumed = select(resuming.c.id).where(resuming.c.parent == RUNS.c.id, resuming.c.ended.is_(None))
        query = select(RUNS.c.id, RUNS.c.ended, RUNS.c.outputs)
        query = query.where(WORK_IS_KEPT, RUNS.c.ended < moment, ~resumed.exists())
        if after is not None:
            query = query.where(tuple_(RUNS.c.ended, RUNS.c.id) > cursor_tuple(after))
        query = query.order_by(RUNS.c.ended, RUNS.c.id).limit(size + 1)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [EndedRun(id=row.id, ended=row.ended, outputs=rows.load(row.outputs)) for row in found[:size]]
        last = Cursor(created=items[-1].ended, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def work_removed(self, run_id: str, line: str) -> bool:
        return self._transactions.write(lambda connection: self._note(connection, run_id, line))

    def _note(self, connection: Connection, run_id: str, line: str) -> bool:
        this = (RUNS.c.id == run_id, WORK_IS_KEPT)
        row = connection.execute(select(RUNS.c.system_logs).where(*this).with_for_update()).one_or_none()
        if row is None:
            return False
        lines = rows.dump([*rows.load(row.system_logs), line])
        done = update(RUNS).where(*this).values(work_removed=self._clock.now(), system_logs=lines)
        return connection.execute(done).rowcount == 1

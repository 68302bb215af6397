"""Workers in the database."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, select

from wes_service.core.ports import Clock, WorkerInfo
from wes_service.store import rows
from wes_service.store.dialect import upsert
from wes_service.store.schema import WORKERS
from wes_service.store.transactions import Transactions


class SqlWorkerStore:
    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    def beat(self, worker: WorkerInfo) -> None:
        row = rows.worker_values(worker, self._clock.now())
        again = {**row, "beats": WORKERS.c.beats + 1}
        self._transactions.write(lambda connection: upsert(connection, WORKERS, {**row, "beats": 1}, again))

    def alive(self, within_seconds: float) -> Sequence[WorkerInfo]:
        since = self._clock.now() - timedelta(seconds=within_seconds)
        query = select(WORKERS).where(WORKERS.c.seen >= since).order_by(WORKERS.c.id)
        return self._transactions.read(lambda connection: [rows.worker_of(row) for row in connection.execute(query)])

    def remove(self, worker_id: str) -> None:
        gone = delete(WORKERS).where(WORKERS.c.id == worker_id)
        self._transactions.write(lambda connection: connection.execute(gone))

"""Who works on what: workers and their heartbeats, the next run to claim, runs of a lost worker."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Connection, and_, delete, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from wes_service.core.liveness import Beats
from wes_service.core.ports import Clock, WorkerInfo
from wes_service.core.run import HELD, Owner, RunState
from wes_service.store import rows
from wes_service.store.dialect import upsert
from wes_service.store.ledger import STANDING, owned_by
from wes_service.store.rows import AnyRow
from wes_service.store.schema import IS_HELD, RUN_COUNTS, RUNS, WORKERS, unindexed
from wes_service.store.transactions import Transactions

Engines = Mapping[str, tuple[str, ...]]


def anything_to_claim(connection: Connection, engines: Engines) -> bool:
    return bool(_candidates(connection, engines))


def lock_next(connection: Connection, engines: Engines) -> AnyRow | None:
    """The owner with the fewest held runs first, then the oldest; a run that another takes just now is passed over."""
    for owner in _candidates(connection, engines):
        query = select(*STANDING).where(owned_by(owner), _fits(engines)).order_by(RUNS.c.created, RUNS.c.id).limit(1)
        row = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            return row
    return None


def lock_lost(connection: Connection, worker: str, beats: Beats) -> AnyRow | None:
    """A run of a worker that has beaten no more since it had `beats`; a beat that comes just now waits for this."""
    found = connection.execute(select(WORKERS.c.beats).where(WORKERS.c.id == worker).with_for_update()).one_or_none()
    if (found and found.beats) != beats:
        return None
    query = select(*STANDING).where(IS_HELD, RUNS.c.worker == worker).order_by(RUNS.c.id).limit(1)
    return connection.execute(query.with_for_update(skip_locked=True)).one_or_none()


def _candidates(connection: Connection, engines: Engines) -> list[Owner]:
    """Owners with a run that fits, in the order in which they are served."""
    if not any(engines.values()):
        return []
    waiting = RUN_COUNTS.alias("waiting")
    held = RUN_COUNTS.alias("held")
    same_owner = and_(held.c.issuer == waiting.c.issuer, held.c.subject == waiting.c.subject)
    number = select(func.coalesce(func.sum(held.c.runs), 0)).where(
        same_owner, held.c.state.in_(sorted(state.value for state in HELD))
    )
    its_own = and_(RUNS.c.issuer == waiting.c.issuer, RUNS.c.subject == waiting.c.subject)
    oldest = select(RUNS.c.id).where(its_own, _fits(engines)).order_by(RUNS.c.created, RUNS.c.id).limit(1)
    owners = (
        select(oldest.scalar_subquery().label("id"), number.scalar_subquery().label("held"))
        .where(waiting.c.state == RunState.QUEUED.value, waiting.c.runs > 0)
        .subquery()
    )
    query = (
        select(RUNS.c.issuer, RUNS.c.subject)
        .join(owners, owners.c.id == RUNS.c.id)
        .order_by(owners.c.held, RUNS.c.created, RUNS.c.id)
    )
    return [Owner(issuer=row.issuer, subject=row.subject) for row in connection.execute(query)]


def _fits(engines: Engines) -> ColumnElement[bool]:
    """Queued, for an engine of this worker in a wanted version that it has, or in any; found among the queued ones."""
    wanted = RUNS.c.engine_version
    ours = [
        and_(unindexed(RUNS.c.engine) == name, or_(wanted.is_(None), wanted.in_(versions)))
        for name, versions in sorted(engines.items())
        if versions
    ]
    return and_(RUNS.c.state == RunState.QUEUED.value, or_(*ours))


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

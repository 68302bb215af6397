"""Runs in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, func, select, update

from common.errors import RunNotFound
from common.paging import Cursor, Page
from wes_service.core.liveness import Beats
from wes_service.core.ports import Change, Clock, Holding, IdempotencyKey, Lease, RunEvent
from wes_service.core.run import EVERY_RUN, TERMINAL, Owner, Run, RunFilter, RunState, RunSummary
from wes_service.store import rows
from wes_service.store.adding import Adder
from wes_service.store.deletion import delete_run
from wes_service.store.leases import anything_to_claim, lock_lost, lock_next
from wes_service.store.ledger import STANDING, held_row, owned_by, record_move
from wes_service.store.rows import run_with_id, whole_run
from wes_service.store.run_pages import read_page, read_summary
from wes_service.store.schema import IS_HELD, RUN_COUNTS, RUN_EVENTS, RUNS, WORKERS, Moment
from wes_service.store.transactions import Transactions

NO_CHANGE = Change()


class SqlRunStore:
    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock
        self._adder = Adder(transactions)

    def add(self, run: Run, key: IdempotencyKey | None) -> Run:
        return self._adder.add(run, key)

    def get(self, owner: Owner, run_id: str) -> Run:
        return self._transactions.read(lambda connection: _owned(connection, owner, run_id))

    def summary(self, owner: Owner, run_id: str) -> RunSummary:
        return self._transactions.read(lambda connection: read_summary(connection, owner, run_id))

    def page(self, owner: Owner, size: int, after: Cursor | None, wanted: RunFilter = EVERY_RUN) -> Page[RunSummary]:
        return self._transactions.read(lambda connection: read_page(connection, owner, wanted, size, after))

    def events(self, owner: Owner, run_id: str) -> Sequence[RunEvent]:
        query = (
            select(RUN_EVENTS.c.time, RUN_EVENTS.c.state, RUN_EVENTS.c.reason)
            .join(RUNS, RUNS.c.id == RUN_EVENTS.c.run_id)
            .where(RUNS.c.id == run_id, owned_by(owner))
            .order_by(RUN_EVENTS.c.id)
        )
        events = self._transactions.read(lambda connection: connection.execute(query).all())
        if not events:
            raise RunNotFound
        return [rows.event_of(row) for row in events]

    def counts(self) -> Mapping[RunState, int]:
        total = func.sum(RUN_COUNTS.c.runs)
        query = select(RUN_COUNTS.c.state, total).group_by(RUN_COUNTS.c.state).having(total > 0)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {RunState(state): int(number) for state, number in found}

    def oldest_queued(self) -> datetime | None:
        # Per owner, as the index by state begins with the owner; the counts know who has any.
        waiting = RUN_COUNTS.alias()
        mine = (RUNS.c.issuer == waiting.c.issuer, RUNS.c.subject == waiting.c.subject)
        oldest_of = (
            select(func.min(RUNS.c.created)).where(*mine, RUNS.c.state == RunState.QUEUED.value).scalar_subquery()
        )
        has_any = (waiting.c.state == RunState.QUEUED.value, waiting.c.runs > 0)
        query = select(func.min(oldest_of, type_=Moment)).select_from(waiting).where(*has_any)
        oldest: datetime | None = self._transactions.read(lambda connection: connection.execute(query).scalar_one())
        return oldest

    def cancel(self, owner: Owner, run_id: str) -> Run:
        return self._transactions.write(lambda connection: self._cancel(connection, owner, run_id))

    def delete(self, owner: Owner, run_id: str) -> None:
        self._transactions.write(lambda connection: delete_run(connection, owner, run_id, self._clock.now()))

    def claim(self, worker: str, engines: Mapping[str, tuple[str, ...]]) -> Run | None:
        # A look first: idle workers ask all the time and must not keep the writer busy.
        if not self._transactions.read(lambda connection: anything_to_claim(connection, engines)):
            return None
        return self._transactions.write(lambda connection: self._claim(connection, worker, engines))

    def held(self, worker: str) -> Mapping[str, Holding]:
        query = select(RUNS.c.id, RUNS.c.epoch, RUNS.c.state).where(IS_HELD, RUNS.c.worker == worker)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row.id: Holding(epoch=row.epoch, state=RunState(row.state)) for row in found}

    def held_run(self, lease: Lease) -> Run:
        return self._transactions.read(lambda connection: _held_run(connection, lease))

    def holders(self) -> Mapping[str, Beats]:
        known = RUNS.outerjoin(WORKERS, WORKERS.c.id == RUNS.c.worker)
        query = select(RUNS.c.worker, WORKERS.c.beats).distinct().select_from(known).where(IS_HELD)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row.worker: row.beats for row in found}

    def move(self, lease: Lease, after: RunState, change: Change = NO_CHANGE) -> Run:
        return self._transactions.write(lambda connection: self._move(connection, lease, after, change))

    def note(self, lease: Lease, change: Change) -> None:
        self._transactions.write(lambda connection: _note(connection, lease, change))

    def take_over(self, worker: str, lost: Mapping[str, Beats]) -> Run | None:
        for other, beats in sorted(lost.items()):
            run = self._transactions.write(partial(_take_over, worker=worker, lost=other, beats=beats))
            if run is not None:
                return run
        return None

    def _cancel(self, connection: Connection, owner: Owner, run_id: str) -> Run:
        query = select(*STANDING).where(RUNS.c.id == run_id, owned_by(owner)).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise RunNotFound
        if row.state not in TERMINAL and row.state != RunState.CANCELING:
            now = self._clock.now()
            record_move(connection, row, RunState.CANCELING, now)
            if row.worker is None:
                row = connection.execute(query).one()
                record_move(connection, row, RunState.CANCELED, now)
        return run_with_id(connection, run_id)

    def _claim(self, connection: Connection, worker: str, engines: Mapping[str, tuple[str, ...]]) -> Run | None:
        row = lock_next(connection, engines)
        if row is None:
            return None
        record_move(connection, row, RunState.INITIALIZING, self._clock.now(), **_claimed_by(worker, row.epoch))
        return run_with_id(connection, row.id)

    def _move(self, connection: Connection, lease: Lease, after: RunState, change: Change) -> Run:
        row = held_row(connection, lease)
        record_move(connection, row, after, self._clock.now(), **_changes(connection, lease.run_id, change))
        return run_with_id(connection, lease.run_id)


def _take_over(connection: Connection, worker: str, lost: str, beats: Beats) -> Run | None:
    row = lock_lost(connection, lost, beats)
    if row is None:
        return None
    connection.execute(update(RUNS).where(RUNS.c.id == row.id).values(_claimed_by(worker, row.epoch)))
    return run_with_id(connection, row.id)


def _claimed_by(worker: str, epoch: int) -> rows.Values:
    return {"worker": worker, "epoch": epoch + 1}


def _held_run(connection: Connection, lease: Lease) -> Run:
    held_row(connection, lease)
    return run_with_id(connection, lease.run_id)


def _owned(connection: Connection, owner: Owner, run_id: str) -> Run:
    row = connection.execute(whole_run().where(RUNS.c.id == run_id, owned_by(owner))).one_or_none()
    if row is None:
        raise RunNotFound
    return rows.run_of(row)


def _note(connection: Connection, lease: Lease, change: Change) -> None:
    held_row(connection, lease)
    values = _changes(connection, lease.run_id, change)
    if values:
        connection.execute(update(RUNS).where(RUNS.c.id == lease.run_id).values(values))


def _changes(connection: Connection, run_id: str, change: Change) -> rows.Values:
    values: rows.Values = {}
    if change.reason is not None:
        values["reason"] = change.reason
    if change.process is not None:
        values["process"] = rows.process_text(change.process)
    if change.outputs is not None:
        values["outputs"] = rows.dump(change.outputs)
    if change.lines:
        before = connection.execute(select(RUNS.c.system_logs).where(RUNS.c.id == run_id)).scalar_one()
        values["system_logs"] = rows.dump([*rows.load(before), *change.lines])
    return values

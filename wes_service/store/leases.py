"""Who works on what: the one place where a run's state is written (row, event and counts change together), claims,
take-overs, and the workers with their heartbeats."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, FromClause, and_, bindparam, delete, false, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from common.errors import MoveRefused, StaleClaim
from wes_service.core.liveness import MOST_LOSSES, Beats, take_over_line
from wes_service.core.ports import Clock, Lease, RunChange, WorkerInfo
from wes_service.core.run import HELD, TERMINAL, Owner, Run, RunState, may_move
from wes_service.store import rows
from wes_service.store.dialect import upsert
from wes_service.store.notifications import note_end
from wes_service.store.pending_cancels import end_open_tasks
from wes_service.store.rows import AnyRow, Values, run_with_id
from wes_service.store.schema import IS_HELD, IS_QUEUED, RUN_COUNTS, RUN_EVENTS, RUNS, WORKERS, unindexed
from wes_service.store.transactions import Transactions

Engines = Mapping[str, tuple[str, ...]]

STATE_COLUMNS = (
    RUNS.c.id,
    RUNS.c.issuer,
    RUNS.c.subject,
    RUNS.c.state,
    RUNS.c.started,
    RUNS.c.epoch,
    RUNS.c.worker,
)
"""What a decision about a run needs to know of it."""

HELD_NAMES = sorted(state.value for state in HELD)
CLAIM_ORDER = (RUNS.c.priority.desc(), RUNS.c.created, RUNS.c.id)
"""Of one owner's queued runs."""
COUNTS_OF_CLAIM = (RunState.INITIALIZING.value, RunState.QUEUED.value)
"""The counts that a claim changes, in the order in which they are written."""

INSERT_EVENTS = RUN_EVENTS.insert()


def owned_by(owner: Owner, table: FromClause = RUNS) -> ColumnElement[bool]:
    """Rows of `table`, which has the columns `issuer` and `subject`, that are this owner's."""
    return and_(table.c.issuer == owner.issuer, table.c.subject == owner.subject)


def lock_held(connection: Connection, lease: Lease, *, share: bool = False) -> AnyRow:
    """Locks and reads the run of a lease; `StaleClaim` where it is not this worker's any more."""
    query = select(*STATE_COLUMNS).where(RUNS.c.id == lease.run_id).with_for_update(read=share)
    row = connection.execute(query).one_or_none()
    if row is None or (row.worker, row.epoch) != (lease.worker, lease.epoch):
        raise StaleClaim(StaleClaim.__doc__)
    return row


def record_new(connection: Connection, runs: Sequence[Values]) -> None:
    """First events and counts of runs that were just added."""
    events = [{"run_id": run["id"], "time": run["created"], "state": run["state"], "reason": None} for run in runs]
    connection.execute(INSERT_EVENTS, events)
    owners = Counter((run["issuer"], run["subject"], run["state"]) for run in runs)
    for (issuer, subject, state), number in sorted(owners.items()):
        _count(connection, issuer, subject, {state: number})


def record_move(connection: Connection, row: AnyRow, after: RunState, now: datetime, **values: Any) -> None:
    """Compare-and-set from the standing in `row` to `after`, with the times and the lease that belong to it."""
    if not may_move(RunState(row.state), after):
        raise MoveRefused(f"a run can't go from {row.state} to {after}")
    changed = connection.execute(
        update(RUNS)
        .where(
            RUNS.c.id == row.id,
            RUNS.c.state == bindparam("before", row.state),
            RUNS.c.epoch == bindparam("held", row.epoch),
            RUNS.c.worker.is_not_distinct_from(bindparam("holder", row.worker)),
        )
        .values(values | _consequences(row, after, now))
    )
    if changed.rowcount != 1:
        raise StaleClaim(StaleClaim.__doc__)
    if after in TERMINAL:
        end_open_tasks(connection, row.id, now)
        note_end(connection, run_with_id(connection, row.id), now)
    _event(connection, row.id, now, after.value, values.get("reason"))
    _count(connection, row.issuer, row.subject, {row.state: -1, after.value: 1})


def record_adopted(connection: Connection, before: Owner, after: Owner, states: Mapping[str, int]) -> None:
    """Counts runs, by state, with their new owner."""
    _count(connection, before.issuer, before.subject, {state: -number for state, number in states.items()})
    _count(connection, after.issuer, after.subject, dict(states))


def record_deleted(connection: Connection, row: AnyRow) -> None:
    """Takes a run that is deleted out of the counts."""
    _count(connection, row.issuer, row.subject, {row.state: -1})


def _consequences(row: AnyRow, after: RunState, now: datetime) -> Values:
    values: Values = {"state": after.value}
    if after in {RunState.INITIALIZING, RunState.RUNNING} and row.started is None:
        values["started"] = now
    if after in TERMINAL:
        values |= {"ended": now, "worker": None}
    return values


def _event(connection: Connection, run_id: str, time: datetime, state: str, reason: str | None) -> None:
    row = {"run_id": run_id, "time": time, "state": state, "reason": reason}
    connection.execute(INSERT_EVENTS, row)


def _count(connection: Connection, issuer: str, subject: str, steps: dict[str, int]) -> None:
    """In the order of the states' names, so that no two transactions wait for each other."""
    for state, step in sorted(steps.items()):
        row = {"issuer": issuer, "subject": subject, "state": state, "runs": step}
        upsert(connection, RUN_COUNTS, row, {"runs": RUN_COUNTS.c.runs + step})


def anything_to_claim(connection: Connection, engines: Engines, owner_slots: int | None) -> bool:
    """Whether a run waits that one of these engines could run, of an owner who may have one more."""
    return bool(_candidates(connection, engines, owner_slots))


def lock_next(connection: Connection, engines: Engines, owner_slots: int | None) -> AnyRow | None:
    """The owner with the fewest held runs first; a run that another worker takes just now is passed over."""
    for owner in _candidates(connection, engines, owner_slots):
        if owner_slots is not None and _count_held(connection, owner) >= owner_slots:
            continue
        query = select(*STATE_COLUMNS).where(owned_by(owner), _fits(engines)).order_by(*CLAIM_ORDER).limit(1)
        row = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            return row
    return None


@dataclass(frozen=True, kw_only=True)
class LostWorker:
    """A worker that is taken for lost, and the number of its heartbeats by which that was seen."""

    id: str
    beats: Beats

    @property
    def losses(self) -> int:
        """How many losses it is for each of its runs: who left in order is none."""
        return 0 if self.beats is None else 1


def lock_lost(connection: Connection, lost: LostWorker, engines: Engines) -> AnyRow | None:
    """A run of a worker that has beaten no more; a beat that comes just now waits for this."""
    found = connection.execute(select(WORKERS.c.beats).where(WORKERS.c.id == lost.id).with_for_update()).one_or_none()
    if (found and found.beats) != lost.beats:
        return None
    ends = or_(RUNS.c.state == RunState.CANCELING.value, RUNS.c.losses + lost.losses >= MOST_LOSSES)
    query = select(*STATE_COLUMNS, RUNS.c.losses).where(IS_HELD, RUNS.c.worker == lost.id, or_(ends, _has(engines)))
    return connection.execute(query.order_by(RUNS.c.id).limit(1).with_for_update(skip_locked=True)).one_or_none()


def _count_held(connection: Connection, owner: Owner) -> int:
    """How many runs of an owner workers hold; until the end of this transaction nobody else claims one."""
    mine = owned_by(owner, RUN_COUNTS)
    # The lock is for PostgreSQL: SQLite has one writer at a time.
    changed = select(RUN_COUNTS.c.runs).where(mine, RUN_COUNTS.c.state.in_(COUNTS_OF_CLAIM))
    connection.execute(changed.order_by(RUN_COUNTS.c.state).with_for_update()).all()
    query = select(func.coalesce(func.sum(RUN_COUNTS.c.runs), 0)).where(mine, RUN_COUNTS.c.state.in_(HELD_NAMES))
    return int(connection.execute(query).scalar_one())


def _candidates(connection: Connection, engines: Engines, owner_slots: int | None) -> list[Owner]:
    """Owners with a run that fits and less than `owner_slots` held ones, in the order in which they are served."""
    if not any(engines.values()):
        return []
    waiting = RUN_COUNTS.alias("waiting")
    held = RUN_COUNTS.alias("held")
    same_owner = and_(held.c.issuer == waiting.c.issuer, held.c.subject == waiting.c.subject)
    number = select(func.coalesce(func.sum(held.c.runs), 0)).where(same_owner, held.c.state.in_(HELD_NAMES))
    its_own = and_(RUNS.c.issuer == waiting.c.issuer, RUNS.c.subject == waiting.c.subject)
    first = select(RUNS.c.id).where(its_own, _fits(engines)).order_by(*CLAIM_ORDER).limit(1)
    owners = (
        select(first.scalar_subquery().label("id"), number.scalar_subquery().label("held"))
        .where(waiting.c.state == RunState.QUEUED.value, waiting.c.runs > 0)
        .subquery()
    )
    query = (
        select(RUNS.c.issuer, RUNS.c.subject)
        .join(owners, owners.c.id == RUNS.c.id)
        .order_by(owners.c.held, RUNS.c.created, RUNS.c.id)
    )
    if owner_slots is not None:
        query = query.where(owners.c.held < owner_slots)
    return [Owner(issuer=row.issuer, subject=row.subject) for row in connection.execute(query)]


def _fits(engines: Engines) -> ColumnElement[bool]:
    """Queued, and for an engine of this worker; found among the queued ones."""
    return and_(IS_QUEUED, _has(engines))


def _has(engines: Engines) -> ColumnElement[bool]:
    """For an engine of this worker in a wanted version that it has, or in any."""
    version_column = RUNS.c.engine_version
    ours = [
        and_(unindexed(RUNS.c.engine) == name, or_(version_column.is_(None), version_column.in_(versions)))
        for name, versions in sorted(engines.items())
        if versions
    ]
    return or_(false(), *ours)


def claim_next(
    connection: Connection, worker: str, engines: Engines, owner_slots: int | None, now: datetime
) -> Run | None:
    """As in `RunStore.claim`."""
    row = lock_next(connection, engines, owner_slots)
    if row is None:
        return None
    record_move(connection, row, RunState.INITIALIZING, now, **_claimed_by(worker, row.epoch))
    return run_with_id(connection, row.id)


def move_held(connection: Connection, lease: Lease, after: RunState, change: RunChange, now: datetime) -> Run:
    """As in `RunStore.move`."""
    row = lock_held(connection, lease)
    record_move(connection, row, after, now, **_changes(connection, lease.run_id, change))
    return run_with_id(connection, lease.run_id)


def take_over_lost(
    connection: Connection, worker: str, lost: LostWorker, engines: Engines, now: datetime
) -> Run | None:
    """Makes a run of the `lost` worker one of `worker`; None where it has none for it, or has beaten since."""
    row = lock_lost(connection, lost, engines)
    if row is None:
        return None
    line = take_over_line(lost.id, lost.beats, worker, row.epoch + 1)
    changes = _changes(connection, row.id, RunChange(lines=(line,)))
    values = {**_claimed_by(worker, row.epoch), "losses": row.losses + lost.losses, **changes}
    connection.execute(update(RUNS).where(RUNS.c.id == row.id).values(values))
    _event(connection, row.id, now, row.state, line)
    return run_with_id(connection, row.id)


def _claimed_by(worker: str, epoch: int) -> rows.Values:
    return {"worker": worker, "epoch": epoch + 1}


def read_held(connection: Connection, lease: Lease) -> Run:
    """The run of a lease; `StaleClaim` as in `lock_held`."""
    lock_held(connection, lease)
    return run_with_id(connection, lease.run_id)


def update_held(connection: Connection, lease: Lease, change: RunChange) -> None:
    """As in `RunStore.note`."""
    lock_held(connection, lease)
    values = _changes(connection, lease.run_id, change)
    if values:
        connection.execute(update(RUNS).where(RUNS.c.id == lease.run_id).values(values))


def _changes(connection: Connection, run_id: str, change: RunChange) -> rows.Values:
    values: rows.Values = {}
    if change.reason is not None:
        values["reason"] = change.reason
    if change.process is not None:
        values["process"] = rows.process_text(change.process)
    if change.outputs is not None:
        values["outputs"] = rows.dump(change.outputs)
    if change.engine_version is not None:
        values["engine_version"] = change.engine_version
    if change.fetched_document is not None:
        values["fetched_document"] = change.fetched_document
    if change.lines:
        before = connection.execute(select(RUNS.c.system_logs).where(RUNS.c.id == run_id)).scalar_one()
        values["system_logs"] = rows.dump([*rows.load(before), *change.lines])
    return values


class SqlWorkerStore:
    """`WorkerStore` on SQLAlchemy."""

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

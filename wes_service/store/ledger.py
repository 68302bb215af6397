"""The one place where a run's state is written: row, event and counts change together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, FromClause, and_, bindparam, select, update
from sqlalchemy.sql.elements import ColumnElement

from common.errors import MoveRefused, StaleClaim
from wes_service.core.ports import Lease
from wes_service.core.run import TERMINAL, Owner, RunState, may_move
from wes_service.store.dialect import upsert
from wes_service.store.pending_cancels import end_open_tasks
from wes_service.store.rows import AnyRow, Values
from wes_service.store.schema import RUN_COUNTS, RUN_EVENTS, RUNS

STANDING = (
    RUNS.c.id,
    RUNS.c.issuer,
    RUNS.c.subject,
    RUNS.c.state,
    RUNS.c.started,
    RUNS.c.epoch,
    RUNS.c.worker,
)
"""What a decision about a run needs to know of it."""

INSERT_EVENTS = RUN_EVENTS.insert()


def owned_by(owner: Owner, table: FromClause = RUNS) -> ColumnElement[bool]:
    """Rows of `table`, which has the columns `issuer` and `subject`, that are this owner's."""
    return and_(table.c.issuer == owner.issuer, table.c.subject == owner.subject)


def held_row(connection: Connection, lease: Lease, *, share: bool = False) -> AnyRow:
    """Locks and reads the run of a lease; `StaleClaim` where it is not this worker's any more."""
    query = select(*STANDING).where(RUNS.c.id == lease.run_id).with_for_update(read=share)
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
    _event(connection, row.id, now, after.value, values.get("reason"))
    _count(connection, row.issuer, row.subject, {row.state: -1, after.value: 1})


def record_adopted(connection: Connection, before: Owner, after: Owner, states: Mapping[str, int]) -> None:
    """Counts runs, by state, with their new owner."""
    _count(connection, before.issuer, before.subject, {state: -number for state, number in states.items()})
    _count(connection, after.issuer, after.subject, dict(states))


def record_gone(connection: Connection, row: AnyRow) -> None:
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

"""Tasks that a TES may still have although nobody waits for them, until they are seen to be gone from it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.sql.elements import ColumnElement

from tes.task import TASK_TERMINAL, PendingCancel, TaskState
from wes_service.store import rows
from wes_service.store.dialect import upsert
from wes_service.store.schema import PENDING_CANCELS, TASKS

SHORTEST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=10)
TASK_NOT_SEEN_TO_END = (
    "The run ended before this task was seen to end; it is cancelled on its TES as soon as that can be asked."
)
IS_OPEN = TASKS.c.state.not_in(sorted(state.value for state in TASK_TERMINAL))


def add_cancels(connection: Connection, cancels: Sequence[PendingCancel]) -> None:
    """Each is due at once; what is known already stays as it is."""
    for cancel in cancels:
        upsert(connection, PENDING_CANCELS, rows.cancel_values(cancel), {"due": cancel.since})


def end_open_tasks(connection: Connection, run_id: str, now: datetime) -> None:
    """What is still open of a run that ends is given up, and what a TES may have of it is to be cancelled there."""
    left = connection.execute(select(TASKS).where(TASKS.c.run_id == run_id, IS_OPEN)).all()
    for row in left:
        task = rows.task_of(row)
        cancel = PendingCancel(
            run_id=run_id,
            task_id=task.id,
            submission=task.submission,
            tes_url=task.tes_url or "",
            tes_id=task.tes_id,
            since=now,
        )
        add_cancels(connection, [cancel])
    if left:
        values = {"state": TaskState.SYSTEM_ERROR.value, "reason": TASK_NOT_SEEN_TO_END}
        connection.execute(update(TASKS).where(TASKS.c.run_id == run_id, IS_OPEN).values(values))


def any_due(connection: Connection, now: datetime) -> bool:
    """Whether there is one to be tried now."""
    query = select(PENDING_CANCELS.c.task_id).where(PENDING_CANCELS.c.due <= now).limit(1)
    return connection.execute(query).first() is not None


def take_due(connection: Connection, now: datetime, most: int) -> Sequence[PendingCancel]:
    """Those that are due, oldest first; each is due again after a fifth of its age."""
    query = (
        select(PENDING_CANCELS)
        .where(PENDING_CANCELS.c.due <= now)
        .order_by(PENDING_CANCELS.c.due)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = [rows.cancel_of(row) for row in connection.execute(query)]
    for cancel in found:
        again = now + min(max((now - cancel.since) / 5, SHORTEST_DELAY), LONGEST_DELAY)
        connection.execute(update(PENDING_CANCELS).where(*_this(cancel)).values(due=again))
    return found


def name_cancel(connection: Connection, cancel: PendingCancel) -> None:
    """Keeps the id that its TES has given the task."""
    connection.execute(update(PENDING_CANCELS).where(*_this(cancel)).values(tes_id=cancel.tes_id))


def remove_cancel(connection: Connection, cancel: PendingCancel) -> None:
    """It is gone from its TES."""
    connection.execute(delete(PENDING_CANCELS).where(*_this(cancel)))


def _this(cancel: PendingCancel) -> tuple[ColumnElement[bool], ...]:
    return (
        PENDING_CANCELS.c.task_id == cancel.task_id,
        PENDING_CANCELS.c.submission == cancel.submission,
        PENDING_CANCELS.c.tes_url == cancel.tes_url,
    )

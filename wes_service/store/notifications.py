"""The outbox: who is still to be told that a run has ended, and who was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, or_, select, text, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from common.errors import NotificationNotFound
from common.hooks import HookSettings
from common.paging import Cursor, Page
from wes_service.core.notification import (
    KEEP_DELIVERED,
    KEEP_FAILED,
    LEASE,
    OWN_HOOK,
    WEBHOOK,
    HookTarget,
    Notification,
    NotificationState,
    event_of,
    hooks_for,
    note_id,
)
from wes_service.core.run import Owner, Run, RunState
from wes_service.store.rows import AnyRow, dump, load
from wes_service.store.schema import IS_DUE, IS_UNDELIVERED, NOTIFICATIONS, cursor_tuple
from wes_service.store.transactions import Transactions

NOTES_PER_TRANSACTION = 100
IS_NOTE = NOTIFICATIONS.c.hook.is_(None)
IS_ASSIGNED = NOTIFICATIONS.c.hook.is_not(None)
CONDITIONS: Mapping[NotificationState, ColumnElement[bool]] = {
    NotificationState.WAITING: IS_DUE,
    NotificationState.DELIVERED: and_(~IS_DUE, NOTIFICATIONS.c.delivered.is_not(None)),
    NotificationState.FAILED: and_(~IS_DUE, NOTIFICATIONS.c.delivered.is_(None)),
}


def note_end(connection: Connection, run: Run, now: datetime) -> None:
    """Writes down that a run has ended; in the transaction in which it does."""
    connection.execute(
        NOTIFICATIONS.insert().values(
            id=note_id(run.id),
            run_id=run.id,
            issuer=run.owner.issuer,
            subject=run.owner.subject,
            url=run.request.workflow_engine_parameters.get(WEBHOOK) or None,
            event=dump(event_of(run)),
            created=now,
            since=now,
            due=now,
            attempts=0,
        )
    )


def forget_notified(connection: Connection, run_id: str) -> None:
    """Removes what was told of a run that is deleted; what still waits stays until the day when it is old."""
    connection.execute(delete(NOTIFICATIONS).where(NOTIFICATIONS.c.run_id == run_id, ~IS_DUE))


class SqlNotificationStore:
    """`NotificationStore` on SQLAlchemy."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def assign(self, hooks: Mapping[str, HookSettings], now: datetime) -> bool:
        # A look first, as there mostly is none, and the writer is not to be kept busy.
        query = select(NOTIFICATIONS.c.id).where(IS_NOTE, IS_DUE).limit(1)
        if self._transactions.read(lambda connection: connection.execute(query).first()) is None:
            return False
        return self._transactions.write(lambda connection: _assign_some(connection, hooks, now))

    def due_targets(self, now: datetime) -> Sequence[HookTarget]:
        columns = (NOTIFICATIONS.c.hook, NOTIFICATIONS.c.issuer, NOTIFICATIONS.c.subject)
        query = select(*columns).distinct().where(IS_ASSIGNED, NOTIFICATIONS.c.due <= now)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        # Those of the configuration first: users' own are not to hold them up.
        return sorted({_target(row) for row in found}, key=lambda target: (not target.hook, target.hook))

    def take(self, target: HookTarget, now: datetime) -> Notification | None:
        return self._transactions.write(lambda connection: _take(connection, target, now))

    def record(self, taken: Notification, tried: Notification) -> None:
        values = {
            "due": tried.due,
            "attempts": tried.attempts,
            "problem": tried.problem,
            "delivered": tried.delivered,
        }
        same = (NOTIFICATIONS.c.id == taken.id, NOTIFICATIONS.c.due == taken.due)
        self._transactions.write(
            lambda connection: connection.execute(update(NOTIFICATIONS).where(*same).values(values))
        )

    def postpone(self, like: Notification, now: datetime, until: datetime) -> None:
        same = (_of(like.target), NOTIFICATIONS.c.url.is_not_distinct_from(like.url), NOTIFICATIONS.c.due <= now)
        these = update(NOTIFICATIONS).where(*same).values(due=until)
        self._transactions.write(lambda connection: connection.execute(these))

    def page(
        self, owner: Owner, size: int, after: Cursor | None, run_id: str | None, state: NotificationState | None
    ) -> Page[Notification]:
        query = select(NOTIFICATIONS).where(_owned(owner), IS_ASSIGNED)
        if run_id is not None:
            query = query.where(NOTIFICATIONS.c.run_id == run_id)
        if state is not None:
            query = query.where(CONDITIONS[state])
        if after is not None:
            query = query.where(tuple_(NOTIFICATIONS.c.created, NOTIFICATIONS.c.id) < cursor_tuple(after))
        query = query.order_by(NOTIFICATIONS.c.created.desc(), NOTIFICATIONS.c.id.desc()).limit(size + 1)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        items = [notification_of(row) for row in found[:size]]
        last = Cursor(created=items[-1].created, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def redeliver(self, owner: Owner, notification_id: str, now: datetime) -> Notification:
        return self._transactions.write(lambda connection: _redeliver(connection, owner, notification_id, now))

    def counts(self) -> Mapping[tuple[str, NotificationState], int]:
        state = case(*((condition, name.value) for name, condition in CONDITIONS.items()))
        query = select(NOTIFICATIONS.c.hook, state.label("standing"), func.count()).where(IS_ASSIGNED, IS_UNDELIVERED)
        query = query.group_by(NOTIFICATIONS.c.hook, text("standing"))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {(hook, NotificationState(state)): number for hook, state, number in found}

    def remove_old(self, now: datetime) -> None:
        delivered = NOTIFICATIONS.c.delivered < now - KEEP_DELIVERED
        failed = and_(NOTIFICATIONS.c.delivered.is_(None), NOTIFICATIONS.c.since < now - KEEP_FAILED)
        old = delete(NOTIFICATIONS).where(~IS_DUE, or_(delivered, failed))
        self._transactions.write(lambda connection: connection.execute(old))


def notification_of(row: AnyRow) -> Notification:
    """From a row that is assigned to a hook."""
    return Notification(
        id=row.id,
        run_id=row.run_id,
        owner=Owner(issuer=row.issuer, subject=row.subject),
        hook=row.hook,
        url=row.url,
        event=load(row.event),
        created=row.created,
        since=row.since,
        due=row.due,
        attempts=row.attempts,
        problem=row.problem,
        delivered=row.delivered,
    )


def _assign_some(connection: Connection, hooks: Mapping[str, HookSettings], now: datetime) -> bool:
    """False too where another worker has them all just now, as to look again would only keep the database busy."""
    query = select(NOTIFICATIONS).where(IS_NOTE, IS_DUE).limit(NOTES_PER_TRANSACTION)
    notes = connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
    for row in notes:
        this = NOTIFICATIONS.c.id == row["id"]
        for name in hooks_for(RunState(load(row["event"])["state"]), hooks):
            copy = {**row, "id": f"{row['id']}-{name}", "hook": name, "url": None, "due": now}
            connection.execute(NOTIFICATIONS.insert().values(copy))
        if row["url"] is None:
            connection.execute(delete(NOTIFICATIONS).where(this))
        else:
            connection.execute(update(NOTIFICATIONS).where(this).values(hook=OWN_HOOK, due=now))
    return bool(notes)


def _take(connection: Connection, target: HookTarget, now: datetime) -> Notification | None:
    query = select(NOTIFICATIONS).where(_of(target), NOTIFICATIONS.c.due <= now)
    query = (
        query.order_by(NOTIFICATIONS.c.attempts, NOTIFICATIONS.c.due, NOTIFICATIONS.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    leased = now + LEASE
    connection.execute(update(NOTIFICATIONS).where(NOTIFICATIONS.c.id == row.id).values(due=leased))
    return replace(notification_of(row), due=leased)


def _redeliver(connection: Connection, owner: Owner, notification_id: str, now: datetime) -> Notification:
    this = (NOTIFICATIONS.c.id == notification_id, _owned(owner), IS_ASSIGNED)
    anew: dict[str, Any] = {"since": now, "due": now, "attempts": 0, "problem": None, "delivered": None}
    if connection.execute(update(NOTIFICATIONS).where(*this).values(anew)).rowcount != 1:
        raise NotificationNotFound
    return notification_of(connection.execute(select(NOTIFICATIONS).where(*this)).one())


def _of(target: HookTarget) -> ColumnElement[bool]:
    same_hook = NOTIFICATIONS.c.hook == target.hook
    return same_hook if target.owner is None else and_(same_hook, _owned(target.owner))


def _target(row: AnyRow) -> HookTarget:
    owner = None if row.hook else Owner(issuer=row.issuer, subject=row.subject)
    return HookTarget(hook=row.hook, owner=owner)


def _owned(owner: Owner) -> ColumnElement[bool]:
    return and_(NOTIFICATIONS.c.issuer == owner.issuer, NOTIFICATIONS.c.subject == owner.subject)

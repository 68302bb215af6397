"""The outbox in memory; it passes the same contract suite as the database's."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from common.errors import NotificationNotFound
from common.hooks import HookSettings
from common.paging import Cursor, Page
from sandbox.network import NetworkPolicy
from wes_service.core.notification import (
    KEEP_DELIVERED,
    KEEP_FAILED,
    LEASE,
    OWN_HOOK,
    WEBHOOK,
    HookTarget,
    Notification,
    NotificationState,
    NotificationStore,
    event_of,
    hooks_for,
    note_id,
)
from wes_service.core.ports import Clock
from wes_service.core.run import Owner, Run, RunState
from wes_service.notifications.webhook import RunHooks, WebhookSender
from wes_service.services.notifications import NotificationDelivery


@dataclass(kw_only=True)
class FakeNotificationStore:
    lock: threading.RLock = field(default_factory=threading.RLock)
    notes: dict[str, Notification] = field(default_factory=dict)
    kept: dict[str, Notification] = field(default_factory=dict)

    def note_end(self, run: Run, now: datetime) -> None:
        self.notes[run.id] = Notification(
            id=note_id(run.id),
            run_id=run.id,
            owner=run.owner,
            hook=OWN_HOOK,
            url=run.request.workflow_engine_parameters.get(WEBHOOK) or None,
            event=event_of(run),
            created=now,
            since=now,
            due=now,
        )

    def forget(self, run_id: str) -> None:
        self.kept = {key: each for key, each in self.kept.items() if each.run_id != run_id or each.due is not None}

    def assign(self, hooks: Mapping[str, HookSettings], now: datetime) -> bool:
        with self.lock:
            notes, self.notes = list(self.notes.values()), {}
            for note in notes:
                for name in hooks_for(RunState(str(note.event["state"])), hooks):
                    self._put(replace(note, id=f"{note.id}-{name}", hook=name, url=None, due=now))
                if note.url is not None:
                    self._put(replace(note, due=now))
            return bool(notes)

    def due_targets(self, now: datetime) -> Sequence[HookTarget]:
        with self.lock:
            found = {each.target for each in self.kept.values() if _is_due(each, now)}
        return sorted(found, key=lambda target: (not target.hook, target.hook))

    def take(self, target: HookTarget, now: datetime) -> Notification | None:
        with self.lock:
            due = [each for each in self.kept.values() if each.target == target and _is_due(each, now)]
            if not due:
                return None
            first = min(due, key=lambda each: (each.attempts, each.due, each.id))
            return self._put(replace(first, due=now + LEASE))

    def record(self, taken: Notification, tried: Notification) -> None:
        with self.lock:
            known = self.kept.get(taken.id)
            if known is not None and known.due == taken.due:
                self._put(tried)

    def postpone(self, like: Notification, now: datetime, until: datetime) -> None:
        with self.lock:
            for each in list(self.kept.values()):
                if (each.target, each.url) == (like.target, like.url) and _is_due(each, now):
                    self._put(replace(each, due=until))

    def page(
        self, owner: Owner, size: int, after: Cursor | None, run_id: str | None, state: NotificationState | None
    ) -> Page[Notification]:
        with self.lock:
            found = [
                each
                for each in self.kept.values()
                if each.owner == owner and run_id in {None, each.run_id} and state in {None, each.state}
            ]
        found.sort(key=lambda each: (each.created, each.id), reverse=True)
        if after is not None:
            found = [each for each in found if (each.created, each.id) < (after.created, after.id)]
        items = found[:size]
        last = Cursor(created=items[-1].created, id=items[-1].id) if len(found) > size else None
        return Page(items=items, next=last)

    def redeliver(self, owner: Owner, notification_id: str, now: datetime) -> Notification:
        with self.lock:
            known = self.kept.get(notification_id)
            if known is None or known.owner != owner:
                raise NotificationNotFound
            return self._put(replace(known, since=now, due=now, attempts=0, problem=None, delivered=None))

    def counts(self) -> Mapping[tuple[str, NotificationState], int]:
        with self.lock:
            return Counter((each.hook, each.state) for each in self.kept.values() if each.delivered is None)

    def remove_old(self, now: datetime) -> None:
        with self.lock:
            self.kept = {key: each for key, each in self.kept.items() if not _is_old(each, now)}

    def _put(self, item: Notification) -> Notification:
        self.kept[item.id] = item
        return item


def delivery_of(
    store: NotificationStore,
    hooks: Mapping[str, HookSettings],
    clock: Clock,
    network: NetworkPolicy | None = None,
    *,
    secret_file: Path | None = None,
    seconds: float = 2.0,
) -> NotificationDelivery:
    """A worker's, with the real sender, which waits `seconds` for a receiver."""
    own = RunHooks(secret_file=secret_file, network=network or NetworkPolicy(setting="WES_WEBHOOK_ALLOW"))
    sender = WebhookSender(hooks=hooks, own=own, seconds=seconds)
    return NotificationDelivery(store=store, hooks=hooks, sender=sender, clock=clock, public_url="https://wes.example")


def _is_due(item: Notification, now: datetime) -> bool:
    return item.due is not None and item.due <= now


def _is_old(item: Notification, now: datetime) -> bool:
    if item.due is not None:
        return False
    if item.delivered is not None:
        return item.delivered < now - KEEP_DELIVERED
    return item.since < now - KEEP_FAILED

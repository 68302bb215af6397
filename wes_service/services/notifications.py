"""Who is told of the ends of runs: notifications are delivered, listed, and delivered again on request."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

import anyio
import structlog
from anyio import CapacityLimiter, to_thread

from common.errors import InvalidField, StoreUnavailable
from common.hooks import HookSettings
from common.json_types import Json
from common.masking import masked_text
from common.paging import decode, encode
from common.times import exact_time, wes_time
from wes_service.core.notification import (
    DeliveryFailure,
    HookTarget,
    Notification,
    NotificationState,
    NotificationStore,
    cloud_event,
    next_attempt,
)
from wes_service.core.ports import Clock, RunQueue
from wes_service.core.run import Owner
from wes_service.services.runs import checked_size

LOG = structlog.get_logger(__name__)
TARGETS_AT_ONCE = 8
SERVE_SECONDS = 60.0
"""How long one target is served before a later look goes on with it."""
LONGEST_PAUSE = timedelta(minutes=1)
"""How long other notifications wait for a receiver that does not answer one."""


class Sender(Protocol):
    """How notifications reach their receivers."""

    async def send(self, notification: Notification, message: bytes) -> DeliveryFailure | None:
        """Sends a CloudEvent (JSON), in some seconds whatever the receiver does; None where it was taken."""


@dataclass(frozen=True, kw_only=True)
class NotificationDelivery:
    """Delivers what is due. Each may be delivered more than once, always under the same id, and none is ever lost.

    Any number of threads and processes may do so at once; those of one target wait for each other in each process.
    """

    store: NotificationStore
    hooks: Mapping[str, HookSettings]
    sender: Sender
    clock: Clock
    public_url: str
    _busy: set[HookTarget] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self) -> None:
        """Returns when nothing is due any more that this process does not deliver already, or after a minute or so."""
        while self.store.assign(self.hooks, self.clock.now()):
            pass
        anyio.run(self._deliver_due)

    def remove_old(self) -> None:
        """Forgets what was over long ago."""
        self.store.remove_old(self.clock.now())

    async def _deliver_due(self) -> None:
        targets = await to_thread.run_sync(self.store.due_targets, self.clock.now())
        at_once = CapacityLimiter(TARGETS_AT_ONCE)
        async with anyio.create_task_group() as group:
            for target in targets:
                group.start_soon(self._serve, target, at_once)

    async def _serve(self, target: HookTarget, at_once: CapacityLimiter) -> None:
        async with at_once:
            if not self._begin(target):
                return
            try:
                await self._deliver_some(target)
            except StoreUnavailable as error:
                # Whatever was delivered may be so again.
                LOG.warning("notifications wait for the database", action="notify", problem=str(error))
            finally:
                self._end(target)

    async def _deliver_some(self, target: HookTarget) -> None:
        until = time.monotonic() + SERVE_SECONDS
        while time.monotonic() < until:
            taken = await to_thread.run_sync(self.store.take, target, self.clock.now())
            if taken is None:
                return
            failure = await self._sent(taken)
            await to_thread.run_sync(self._record, taken, failure)

    async def _sent(self, taken: Notification) -> DeliveryFailure | None:
        message = json.dumps(cloud_event(taken, self.public_url), separators=(",", ":"), default=dict)
        try:
            return await self.sender.send(taken, message.encode())
        except Exception:
            LOG.exception("a notification failed", action="notify", run_id=taken.run_id, hook=taken.hook)
            return DeliveryFailure(problem="the service failed to send it; its log says why")

    def _record(self, taken: Notification, failure: DeliveryFailure | None) -> None:
        now, attempts = self.clock.now(), taken.attempts + 1
        log = LOG.bind(action="notify", run_id=taken.run_id, hook=taken.hook, notification=taken.id, attempts=attempts)
        if failure is None:
            log.info("notification delivered")
            tried = replace(taken, due=None, attempts=attempts, problem=None, delivered=now)
            self.store.record(taken, tried)
            return
        due = next_attempt(failure, attempts, taken.since, now)
        log.warning("notification not delivered", problem=failure.problem, again=due and wes_time(due))
        self.store.record(taken, replace(taken, due=due, attempts=attempts, problem=failure.problem))
        if failure.receiver and due is not None:
            self.store.postpone(taken, now, min(due, now + LONGEST_PAUSE))

    def _begin(self, target: HookTarget) -> bool:
        with self._lock:
            if target in self._busy:
                return False
            self._busy.add(target)
            return True

    def _end(self, target: HookTarget) -> None:
        with self._lock:
            self._busy.discard(target)


@dataclass(frozen=True, kw_only=True)
class NotificationReader:
    """What the owner of runs sees of their notifications."""

    store: NotificationStore
    queue: RunQueue
    clock: Clock

    def page(self, owner: Owner, size: int, token: str, run_id: str | None, state: str | None) -> dict[str, Json]:
        """Schema NotificationListResponse; `InvalidField` for what is no state."""
        if state is not None and state not in set(NotificationState):
            raise InvalidField("state", f"{state[:40]!r} is no state; there is {', '.join(NotificationState)}")
        scope = f"{run_id or ''}:{state or ''}" if run_id or state else ""
        wanted = None if state is None else NotificationState(state)
        page = self.store.page(owner, checked_size(size), decode(token, scope), run_id, wanted)
        return {
            "notifications": [notification_document(each) for each in page.items],
            "next_page_token": encode(page.next, scope),
        }

    def redeliver(self, owner: Owner, notification_id: str) -> dict[str, Json]:
        """Schema Notification: it waits again, whatever became of it; `NotificationNotFound`."""
        again = self.store.redeliver(owner, notification_id, self.clock.now())
        LOG.info("notification redelivered", action="redeliver", run_id=again.run_id, notification=again.id)
        self.queue.deliver_notifications(again.run_id)
        return notification_document(again)


def notification_document(notification: Notification) -> dict[str, Json]:
    """Schema Notification: where a hook of the configuration leads is its operator's business."""
    optional: dict[str, Json] = {
        "hook": notification.hook or None,
        "url": None if notification.url is None else masked_text(notification.url),
        "next_attempt": None if notification.due is None else exact_time(notification.due),
        "problem": notification.problem,
        "delivered": None if notification.delivered is None else exact_time(notification.delivered),
    }
    return {
        "id": notification.id,
        "run_id": notification.run_id,
        "state": notification.state.value,
        "created": exact_time(notification.created),
        "attempts": notification.attempts,
        **{name: value for name, value in optional.items() if value is not None},
    }

"""What is told to others when a run ends: what it says, to whom it goes, and when it is tried again."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from common.hooks import HookSettings
from common.json_types import Json, JsonObject
from common.masking import masked
from common.paging import Cursor, Page
from common.times import wes_time
from wes_service.core.links import WES_PATH
from wes_service.core.run import Owner, Run, RunState

WEBHOOK = "webhook"
"""Name of the engine parameter by which a run has its own end told to a URL."""
RUN_ENDED = "org.wes-tes.run.ended"
"""The type of the event (CloudEvents 1.0, `type`)."""
OWN_HOOK = ""
"""In the place of a hook's name: the run's own."""
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
LEASE = timedelta(seconds=60)
"""How long nobody else takes a notification that is being delivered."""
KEEP_DELIVERED = timedelta(days=7)
KEEP_FAILED = timedelta(days=30)


class NotificationState(StrEnum):
    """Where a notification stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class HookTarget:
    """Whose notifications are delivered one after the other: those of a hook, or one owner's runs' own."""

    hook: str
    owner: Owner | None = None


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one receiver.

    `hook`: the name of a configured hook, or empty for the run's own, whose `url` is then given. `event`: its data.
    `since`: when its attempts began. `due`: when it is tried next; None once it is over. `problem`: why the last
    attempt failed, in a sentence.
    """

    id: str
    run_id: str
    owner: Owner
    hook: str
    url: str | None
    event: JsonObject
    created: datetime
    since: datetime
    due: datetime | None
    attempts: int = 0
    problem: str | None = None
    delivered: datetime | None = None

    @property
    def state(self) -> NotificationState:
        """As a client is told."""
        if self.due is not None:
            return NotificationState.WAITING
        return NotificationState.FAILED if self.delivered is None else NotificationState.DELIVERED

    @property
    def target(self) -> HookTarget:
        """The queue that it waits in."""
        return HookTarget(hook=self.hook, owner=None if self.hook else self.owner)


class NotificationStore(Protocol):
    """The outbox. That a run ends is written together with a note of it (`RunStore`), so that none is ever lost."""

    def assign(self, hooks: Mapping[str, HookSettings], now: datetime) -> bool:
        """Makes of some notes a notification for each hook that wants it; whether any was there."""

    def due_targets(self, now: datetime) -> Sequence[HookTarget]:
        """Those with a notification that is to be tried now."""

    def take(self, target: HookTarget, now: datetime) -> Notification | None:
        """One that is due, first what was tried least; nobody else is given it for the time of `LEASE`."""

    def record(self, taken: Notification, tried: Notification) -> None:
        """Writes how an attempt ended, unless what was `taken` was redelivered, or taken by another, meanwhile."""

    def postpone(self, like: Notification, now: datetime, until: datetime) -> None:
        """What is due now for the same receiver waits, as that does not answer."""

    def page(
        self, owner: Owner, size: int, after: Cursor | None, run_id: str | None, state: NotificationState | None
    ) -> Page[Notification]:
        """The owner's, newest first."""

    def redeliver(self, owner: Owner, notification_id: str, now: datetime) -> Notification:
        """Makes it wait as if it were new, under the same id; `NotificationNotFound` where it is not the owner's."""

    def counts(self) -> Mapping[tuple[str, NotificationState], int]:
        """How many there are of each hook that wait, or have failed."""

    def remove_old(self, now: datetime) -> None:
        """Removes what was delivered or given up long ago."""


def event_of(run: Run) -> dict[str, Json]:
    """The data of the event that a run has ended; what may be a secret is masked."""
    return {
        "run_id": run.id,
        "state": run.state.value,
        "reason": masked(run.reason),
        "tags": masked(dict(run.request.tags)),
        "start_time": None if run.started is None else wes_time(run.started),
        "end_time": None if run.ended is None else wes_time(run.ended),
    }


def note_id(run_id: str) -> str:
    """The id of the note that a run has ended, and of its own notification; as a run ends once, so is this."""
    return f"{run_id}-ended"


def hooks_for(state: RunState, hooks: Mapping[str, HookSettings]) -> Sequence[str]:
    """The names of those that want to hear of this end."""
    return [name for name, hook in hooks.items() if state.value in hook.states]


def cloud_event(notification: Notification, public_url: str) -> dict[str, Json]:
    """The message (CloudEvents 1.0, JSON format, section 3): the same for all receivers and all attempts."""
    return {
        "specversion": "1.0",
        "id": note_id(notification.run_id),
        "source": public_url.rstrip("/") + WES_PATH,
        "type": RUN_ENDED,
        "subject": notification.run_id,
        "time": notification.event.get("end_time") or wes_time(notification.created),
        "datacontenttype": "application/json",
        "data": notification.event,
    }


@dataclass(frozen=True, kw_only=True)
class DeliveryFailure:
    """Why an attempt failed. `final`: no other is made. `after`: how long the receiver wants to be left alone.

    `receiver`: it is the receiver that fails, and would fail for other notifications, too.
    """

    problem: str
    final: bool = False
    receiver: bool = True
    after: timedelta = timedelta()


def next_attempt(failure: DeliveryFailure, attempts: int, since: datetime, now: datetime) -> datetime | None:
    """When to try again after so many attempts; None: never."""
    if failure.final or now - since >= GIVE_UP_AFTER:
        return None
    delay: timedelta = min(FIRST_DELAY * 4 ** min(attempts - 1, 10), LONGEST_DELAY)
    jitter: float = random.uniform(0.8, 1.2)  # noqa: S311 - so that receivers are not asked by all at once
    return now + max(delay * jitter, min(failure.after, LONGEST_DELAY))

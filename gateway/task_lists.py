"""Lists of one TES, by which it confirms that tasks are in the state that they were in.

A list is used as far as it is seen to be of use: `tag_key` and `state` must filter (TES 1.1.0, ListTasks; a server of
TES 1.0 lists everybody's tasks), and it must show what there is. Otherwise there are no lists for a while.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.dialects import ListFilters
from gateway.followed_task import FollowedTask
from gateway.tes_client import TesClient, TesRefused, TesUnreachable
from tes.task import TaskState

log = structlog.get_logger(__name__)

LISTABLE = frozenset({TaskState.QUEUED, TaskState.INITIALIZING, TaskState.RUNNING, TaskState.PAUSED})
"""States in which a task can be for long."""
AFTER_A_FAILURE = 60.0
"""Seconds without lists, where the server did not answer with one."""
WHILE_USELESS = 600.0
"""And where it answered with one that is of no use."""
FEW = 4
"""So many tasks may be missing in a list without a doubt about it."""
SAVED_BY_A_PAGE = 20
"""Single questions that each page of a list but the first has to save."""
CONTRADICTIONS = 3


@dataclass(frozen=True, kw_only=True)
class Unconfirmed:
    """A task that a list did not show in its state, at this time of the monotonic clock."""

    state: TaskState
    time: float


@dataclass(kw_only=True)
class TaskLists:
    """Used in the gateway's loop only."""

    client: TesClient
    _are_checked: bool = False
    _rest_until: float = 0.0
    _contradictions: int = 0
    _unconfirmed: dict[str, Mapping[str, Unconfirmed]] = field(default_factory=dict)

    async def confirmed(self, tag: str, tasks: Sequence[FollowedTask]) -> set[str]:
        """Our ids of those tasks, which have this tag in common, that the TES lists in the state that they were in."""
        if time.monotonic() < self._rest_until:
            return set()
        confirmed: set[str] = set()
        try:
            filters = (await self.client.dialect()).filters
            if filters is ListFilters.STATE or (filters is ListFilters.TAG_AND_STATE and await self._filter()):
                shown = "" if filters is ListFilters.STATE else tag
                for state, wanted in _by_state(tasks).items():
                    confirmed |= await self._listed(shown, state, wanted)
                self._look_for_left_out(tag, [one for one in tasks if one.task.id not in confirmed], len(tasks))
        except (TesUnreachable, TesRefused) as error:
            self._rest(AFTER_A_FAILURE, str(error))
        return confirmed

    def contradicted(self, *, was: bool) -> None:
        """Whether a task that was confirmed is in another state, as a single question showed right afterwards."""
        self._contradictions = self._contradictions + 1 if was else 0
        if self._contradictions >= CONTRADICTIONS:
            self._contradictions = 0
            self._rest(WHILE_USELESS, "its lists show states that are over")

    async def _filter(self) -> bool:
        """Whether no task is listed that has a tag which none has."""
        if self._are_checked:
            return True
        page = await self.client.page(secrets.token_hex(16), TaskState.RUNNING, size=1)
        self._are_checked = not page.states
        if page.states:
            self._rest(WHILE_USELESS, "tags do not filter its list")
        return self._are_checked

    async def _listed(self, tag: str, state: TaskState, wanted: Mapping[str, FollowedTask]) -> set[str]:
        """Those of `wanted`, by the TES's ids, that it lists on as many pages as may be of use."""
        found: set[str] = set()
        pages, token = 0, ""
        while True:
            page = await self.client.page(tag, state, token)
            pages, token = pages + 1, page.next_token
            found.update(
                wanted[tes_id].task.id for tes_id, shown in page.states.items() if shown == state and tes_id in wanted
            )
            if not token:
                return found
            if pages > len(wanted) / SAVED_BY_A_PAGE:
                self._rest(AFTER_A_FAILURE, f"its list of {len(wanted)} tasks goes on after {pages} pages")
                return found

    def _look_for_left_out(self, tag: str, missing: Sequence[FollowedTask], number: int) -> None:
        """A task is left out where two lists do not show it and it was seen between them, unchanged."""
        before, now = self._unconfirmed.get(tag, {}), time.monotonic()
        left_out = [
            one
            for one in missing
            if (known := before.get(one.task.id)) and known.state is one.task.state and one.answered > known.time
        ]
        self._unconfirmed[tag] = {one.task.id: Unconfirmed(state=one.task.state, time=now) for one in missing}
        if len(left_out) > max(FEW, number / 10):
            self._rest(WHILE_USELESS, f"its list leaves out {len(left_out)} of {number} tasks")

    def _rest(self, seconds: float, reason: str) -> None:
        self._rest_until, self._are_checked = time.monotonic() + seconds, False
        self._unconfirmed.clear()
        log.info("tasks are asked for one by one", action="poll", tes=self.client.name, problem=reason, seconds=seconds)


def _by_state(tasks: Sequence[FollowedTask]) -> Mapping[TaskState, Mapping[str, FollowedTask]]:
    """By the TES's ids. One that is to be cancelled may be in any state there."""
    found: defaultdict[TaskState, dict[str, FollowedTask]] = defaultdict(dict)
    for one in tasks:
        states = LISTABLE if one.task.state is TaskState.CANCELING else LISTABLE & {one.task.state}
        for state in states:
            found[state][one.task.tes_id or ""] = one
    return found

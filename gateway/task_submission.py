"""A task is offered to TES servers until one has taken it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from common.errors import ObjectStoreFailure
from gateway.followed_task import FollowedTask, PollingPolicy
from gateway.open_task_limits import OpenTaskLimits
from gateway.routing import Unroutable
from gateway.task_record import TaskRecord, tes_label
from gateway.task_transfer import CancelledMeanwhile, TaskTransfer
from gateway.tes_client import TesClient, TesRefused, TesUnreachable, TesUnsure
from gateway.tes_servers import TesServers
from gateway.translation import UnusableInput
from tes.task import TaskState
from wes_service.core.run import Owner

ROOM_SECONDS = 1.0
"""Between two looks for a TES with room."""


@dataclass(frozen=True, kw_only=True)
class TaskSubmission:
    """Hands over the tasks of one run. Methods raise `StaleClaim` where the run is another worker's by now."""

    servers: TesServers
    choice: str
    """Which TES the run asks for; empty for any."""
    polling: PollingPolicy
    record: TaskRecord
    transfer: TaskTransfer
    limits: OpenTaskLimits
    owner: Owner
    note: Callable[[str], None]
    _told: set[str] = field(default_factory=set)

    async def submit(self, followed: FollowedTask) -> None:
        """Returns when a TES has the task, or it has ended because none will."""
        await self._wait_for_place(followed)
        followed.answered = time.monotonic()
        wait = 0.2
        while followed.may_have or not followed.cancel_requested:
            await self.record.record_cancel(followed)
            problem = await self._offer(followed)
            if followed.task.terminal or followed.client is not None:
                return
            wait = ROOM_SECONDS if followed.waits_for_room else wait
            patience = self.polling.patience_when(followed.closing)
            if followed.seconds_unanswered() > patience:
                await self.record.give_up(followed, f"no TES took the task for {patience:g} s: {problem}")
                return
            await followed.wait(wait)
            wait = min(wait * 2, 10.0)
        await self.record.move(followed, replace(followed.task, state=TaskState.CANCELED))

    async def _wait_for_place(self, followed: FollowedTask) -> None:
        """Until no limit holds the task back, or it is cancelled; the run's log names a limit once."""
        limit = self.limits.enter(followed, self.owner, is_out=bool(followed.may_have))
        if limit and limit not in self._told:
            self._told.add(limit)
            self.note(f"Tasks wait before they are handed to a TES: {limit}.")
        while not (self.limits.holds(followed) or followed.cancel_requested):
            await followed.wait(None)

    async def accepted(self, followed: FollowedTask, client: TesClient, tes_id: str, route: str = "") -> None:
        """The TES has the task, under this id."""
        after = replace(followed.task, tes_url=client.url, tes_id=tes_id, route=route or None)
        await self.record.move(followed, after)
        followed.client = client
        followed.answered = time.monotonic()
        self.record.outages.end(tes_label(client))

    def can_go_elsewhere(self, followed: FollowedTask, excluded: Mapping[str, str]) -> bool:
        """Whether another TES than those can have it, too."""
        try:
            self.servers.route(followed.task.body, self.choice, {**followed.excluded, **excluded})
        except Unroutable:
            return False
        return True

    async def _offer(self, followed: FollowedTask) -> str:
        """Offers the task to each TES in turn; why none took it, where none did."""
        problem = await self._find(followed)
        if problem or followed.client is not None or followed.cancel_requested:
            return problem
        if not self.servers.clients:
            problem = "none is configured (wes.toml, WES_TES_URLS)"
            self.record.outages.begin("a TES", problem)
            return problem
        try:
            route = self.servers.route(followed.task.body, self.choice, followed.excluded)
        except Unroutable as error:
            return await self._impossible(followed, str(error))
        followed.waits_for_room = bool(route.full)
        if followed.waits_for_room:
            # That is no fault of any TES.
            followed.answered = time.monotonic()
        silent: list[str] = []
        for offer in route.offers:
            client = self.servers.client(offer.name)
            with self.servers.offering(client):
                problem = await self._offer_to(followed, client, offer.after(silent).reason)
            if followed.client is not None or followed.task.terminal or followed.may_have or followed.cancel_requested:
                return problem
            if client.name in followed.excluded:
                return await self._offer(followed)
            silent.append(client.name)
        return problem or route.full

    async def _offer_to(self, followed: FollowedTask, client: TesClient, route: str) -> str:
        """Why this TES did not take it, where it did not."""
        try:
            tes_id = await client.create(await self.transfer.for_tes(followed, client))
        except CancelledMeanwhile:
            return ""
        except UnusableInput as error:
            return await self._impossible(followed, str(error))
        except TesUnsure as error:
            followed.may_have = [client]
            return self.record.no_answer(client, error)
        except (TesUnreachable, ObjectStoreFailure) as error:
            return self.record.no_answer(client, error)
        except TesRefused as error:
            self.servers.answered(client)
            said = self.transfer.sentence_for_engine(followed.task, client, str(error))
            followed.excluded[client.name] = f"the TES {client.name} refused the task: {said}"
            return followed.excluded[client.name]
        self.servers.accepted(client)
        await self.accepted(followed, client, tes_id, route)
        return ""

    async def _impossible(self, followed: FollowedTask, reason: str) -> str:
        """Ends a task that no TES can be given; returns the reason."""
        await self.record.move(followed, replace(followed.task, state=TaskState.SYSTEM_ERROR, reason=reason))
        return reason

    async def _find(self, followed: FollowedTask) -> str:
        """Asks those that may have the task; why one of them can't tell, where that is so."""
        problem = ""
        for client in list(followed.may_have):
            try:
                tes_id = await client.find(followed.task.id, followed.task.submission)
            except TesUnreachable as error:
                problem = self.record.no_answer(client, error)
                continue
            except TesRefused:
                # A TES that lists no tasks can't be asked; then a task may be there twice, rather than never.
                tes_id = None
            followed.may_have.remove(client)
            if tes_id is not None:
                followed.may_have.clear()
                await self.accepted(followed, client, tes_id)
                return ""
        return problem

"""Works off what is still to be cancelled on a TES, whichever worker left it, until it is seen to be gone."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from common.errors import WesError
from gateway.task_documents import state_of
from gateway.tes_client import TesClient, TesForgot, TesRefused, TesUnreachable
from tes.task import TASK_TERMINAL, PendingCancel, View
from wes_service.core.ports import TaskStore

log = structlog.get_logger(__name__)

ROUND_SECONDS = 5.0
MOST_AT_ONCE = 50
LONGEST_KEPT = timedelta(days=30)
"""What could not be cancelled for so long, as its TES never answered, is let go."""


@dataclass(frozen=True, kw_only=True)
class CancelReconciler:
    """One in each worker's gateway; the store shares the work out among them."""

    store: TaskStore
    clients: Callable[[], Sequence[TesClient]]
    now: Callable[[], datetime]

    async def run(self, round_seconds: float = ROUND_SECONDS) -> None:
        """Until it is cancelled."""
        while True:
            try:
                while await self.work_off():
                    pass
            except WesError as error:
                log.warning("could not look for what is to be cancelled", action="cancel_later", problem=str(error))
            except Exception:
                log.exception("could not look for what is to be cancelled", action="cancel_later")
            await asyncio.sleep(round_seconds)

    async def work_off(self) -> bool:
        """Tries those that are due; whether there may be more."""
        due = await asyncio.to_thread(self.store.due_cancels, self.now(), MOST_AT_ONCE)
        clients = {client.url: client for client in self.clients()}
        for cancel in due:
            if await self._is_done(cancel, clients):
                await asyncio.to_thread(self.store.remove_cancel, cancel)
        return len(due) == MOST_AT_ONCE

    async def _is_done(self, cancel: PendingCancel, clients: Mapping[str, TesClient]) -> bool:
        asked = [clients[cancel.tes_url]] if cancel.tes_url in clients else []
        if not cancel.tes_url:
            asked = list(clients.values())
        gone = [await self._is_gone(cancel, client) for client in asked]
        if gone and all(gone):
            log.info("gone from its TES", action="cancel_later", run_id=cancel.run_id, task_id=cancel.task_id)
            return True
        if self.now() - cancel.since > LONGEST_KEPT:
            fields = {"run_id": cancel.run_id, "task_id": cancel.task_id, "tes": cancel.tes_url}
            log.error("never seen to be gone from its TES, and let go", action="cancel_later", **fields)
            return True
        return False

    async def _is_gone(self, cancel: PendingCancel, client: TesClient) -> bool:
        """Cancels it on this TES, and whether it has ended there, or never was there."""
        try:
            tes_id = cancel.tes_id or await client.find(cancel.task_id, cancel.submission)
            if tes_id is None:
                return True
            if cancel.tes_id is None and cancel.tes_url:
                await asyncio.to_thread(self.store.name_cancel, replace(cancel, tes_id=tes_id))
            return await self._cancelled(client, tes_id)
        except TesForgot:
            return await self._is_missing(cancel, client)
        except TesUnreachable as error:
            log.debug("can't be asked", action="cancel_later", task_id=cancel.task_id, problem=str(error))
            return False
        except TesRefused:
            # It lists no tasks, so there is no way to find this one.
            return True

    async def _cancelled(self, client: TesClient, tes_id: str) -> bool:
        try:
            await client.cancel(tes_id)
        except TesRefused as error:
            log.info("the TES refused to cancel", action="cancel_later", tes_id=tes_id, problem=str(error))
        return state_of(await client.get(tes_id, View.MINIMAL)) in TASK_TERMINAL

    async def _is_missing(self, cancel: PendingCancel, client: TesClient) -> bool:
        """A 404 may be of what stands before the TES; a list without the task is the TES's own word."""
        try:
            return await client.find(cancel.task_id, cancel.submission) is None
        except TesUnreachable:
            return False
        except TesRefused:
            return True

"""Takes a run: checked, its attachments in place, its row durable, and then a worker woken."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import structlog

from common.engine import Engine, RunFolder
from common.errors import DiskFull, InvalidField, InvalidRequest, RunNotFound, StoreUnavailable
from wes_service.core.ports import Clock, IdempotencyKey, RunQueue, RunStore, WorkerInfo
from wes_service.core.run import Owner, Run, RunRequest, RunState
from wes_service.core.workflow import workflow_named
from wes_service.services.engine_choice import Choice, checked_parameters, choose
from wes_service.services.recent import Recent
from wes_service.services.run_ids import new_run_id
from wes_service.services.submission import run_request

LOG = structlog.get_logger(__name__)
SEEN_SECONDS = 24 * 3600.0
"""An engine version that was there in this time is taken, as a worker that has it may be back before the run's turn."""
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Staged(Protocol):
    """Attachments that have arrived: relative name to SHA-256 (hexadecimal), in the order in which they came."""

    digests: dict[str, str]


Files_contra = TypeVar("Files_contra", bound=Staged, contravariant=True)


class Folders(Protocol[Files_contra]):
    """Where attachments of runs lie."""

    def commit(self, staging: Files_contra, run_id: str) -> RunFolder:
        """Makes them the attachments of a run, durable on return."""

    def discard(self, run_id: str) -> None:
        """Removes all of a run."""


@dataclass(frozen=True, kw_only=True)
class Submitter(Generic[Files_contra]):
    """Submits runs; every field of a refused one is named by `InvalidField`. `workers` are those of `SEEN_SECONDS`."""

    runs: RunStore
    workers: Recent[Sequence[WorkerInfo]]
    queue: RunQueue
    clock: Clock
    folders: Folders[Files_contra]
    engines: Sequence[Engine]

    def submit(self, owner: Owner, fields: Mapping[str, str], staged: Files_contra, key: str | None) -> str:
        """The id of the run; with a key seen before, of the run of that time. `IdempotencyConflict` as in `RunStore`.

        On an error nothing is left: no row, and no file once the staging folder is gone. Only where the database went
        away meanwhile, so that the run may be stored, its files stay until a worker removes what is of no run.
        """
        request = run_request(fields)
        workflow_named(request.workflow_url, staged.digests)
        choice = self._choice(request)
        parameters = checked_parameters(choice.engine, request.workflow_engine_parameters)
        request = replace(request, workflow_engine_parameters=parameters)
        run = self._run(owner, request, choice, tuple(staged.digests))
        stored = self._store(run, staged, idempotency_key(key, fields, staged.digests))
        self.queue.wake(stored.id)
        LOG.info("run submitted", action="submit", run_id=stored.id, engine=run.engine, again=stored.id != run.id)
        return stored.id

    def _choice(self, request: RunRequest) -> Choice:
        try:
            return choose(request, self.engines, self.workers.value())
        except InvalidField:
            # What is missing may have been installed a moment ago.
            return choose(request, self.engines, self.workers.fresh())

    def _run(self, owner: Owner, request: RunRequest, choice: Choice, attachments: tuple[str, ...]) -> Run:
        now = self.clock.now()
        return Run(
            id=new_run_id(now),
            owner=owner,
            state=RunState.QUEUED,
            request=request,
            attachments=attachments,
            engine=choice.engine.name,
            engine_version=choice.version,
            created=now,
        )

    def _store(self, run: Run, staged: Files_contra, key: IdempotencyKey | None) -> Run:
        # Files first: a worker may claim the run the moment its row is there.
        try:
            self.folders.commit(staged, run.id)
        except BaseException:
            self.folders.discard(run.id)
            raise
        stored = self._add(run, key)
        if stored.id != run.id:
            self.folders.discard(run.id)
        return stored

    def _add(self, run: Run, key: IdempotencyKey | None) -> Run:
        """The folder of a refused run goes; it stays where the run may be stored, for the sweep to remove if not."""
        try:
            return self.runs.add(run, key)
        except (InvalidRequest, DiskFull):
            self.folders.discard(run.id)
            raise
        except Exception as error:
            # The connection may have been lost after the database had got the COMMIT.
            stored = self._stored(run, error)
            if stored is None:
                raise
            LOG.warning("run stored after all", action="submit", run_id=run.id, problem=str(error))
            return stored

    def _stored(self, run: Run, error: Exception) -> Run | None:
        """Where the database answered both times it has no such run, and never will: then its folder goes."""
        try:
            return self.runs.get(run.owner, run.id)
        except RunNotFound:
            if not isinstance(error, StoreUnavailable):
                self.folders.discard(run.id)
        except Exception:  # noqa: BLE001 - the error of `add` is the one to tell
            return None
        return None


def idempotency_key(key: str | None, fields: Mapping[str, str], digests: Mapping[str, str]) -> IdempotencyKey | None:
    """The caller's key with a digest of all fields and attachments, in any order; None without a key."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidField("Idempotency-Key", "1 to 255 printable ASCII characters are needed")
    whole = json.dumps([sorted(fields.items()), sorted(digests.items())])
    return IdempotencyKey(key=key, digest=hashlib.sha256(whole.encode()).hexdigest())

"""Why a run is QUEUED still, in words that say what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wes_service.core.ports import RunStore, WorkerInfo, WorkerStore
from wes_service.core.run import HELD, Run, RunState
from wes_service.services.service_info import ALIVE_SECONDS

SOON = "It is queued: a worker takes it in a moment."


@dataclass(frozen=True, kw_only=True)
class WaitingRuns:
    """Looks at who is alive, and at how many runs go on."""

    runs: RunStore
    workers: WorkerStore

    def why(self, run: Run) -> str:
        """A sentence for the owner of a queued run."""
        workers = self.workers.alive(ALIVE_SECONDS)
        own = _going(self.runs.counts(run.owner))
        return why_queued(run, workers, own=own, everybody=_going(self.runs.counts()))


def why_queued(run: Run, workers: Sequence[WorkerInfo], *, own: int, everybody: int) -> str:
    """`workers` are those that are alive; `own` and `everybody` how many runs of the owner and of all go on. Pure."""
    if not workers:
        return "It waits for a worker: none is alive. The operator starts one with 'wes worker'."
    able = [worker for worker in workers if _has_engine(worker, run)]
    if not able:
        wanted = f"{run.engine} {run.engine_version}" if run.engine_version else run.engine
        return f"It waits for a worker that has {wanted}: none of the {len(workers)} that are alive has it."
    takers = [worker for worker in able if not worker.hindrance]
    if not takers:
        return f"It waits, as no worker takes runs at present: {able[0].hindrance}."
    limits = [worker.owner_slots for worker in takers if worker.owner_slots is not None]
    if len(limits) == len(takers) and own >= max(limits):
        return f"It waits for your other runs: {own} go on, and of one owner {max(limits)} may at once."
    slots = sum(worker.slots or 0 for worker in workers)
    if slots and everybody >= slots:
        return f"It waits for a free slot: {everybody} runs go on, and the workers take {slots} at once."
    return SOON


def _going(counts: Mapping[RunState, int]) -> int:
    return sum(counts.get(state, 0) for state in HELD)


def _has_engine(worker: WorkerInfo, run: Run) -> bool:
    versions = worker.engines.get(run.engine, ())
    return run.engine_version in versions if run.engine_version else bool(versions)

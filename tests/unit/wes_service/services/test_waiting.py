"""What a run that is queued waits for."""

from dataclasses import replace

import pytest

from tests.contract.store.stores import a_run
from wes_service.core.ports import WorkerInfo
from wes_service.services.waiting import SOON, why_queued

WORKER = WorkerInfo(id="w", host="h", engines={"cwltool": ("3.1",), "none": ()}, slots=4)
LIMITED = replace(WORKER, owner_slots=2)
FULL = replace(WORKER, hindrance="the disk of the worker is full")


@pytest.mark.parametrize(
    ("workers", "own", "everybody", "why"),
    [
        ([WORKER], 0, 3, SOON),
        ([LIMITED], 1, 3, SOON),
        ([FULL, WORKER], 0, 3, SOON),
        ([LIMITED, WORKER], 2, 3, SOON),
        ([replace(WORKER, slots=None)], 9, 9, SOON),
        ([], 0, 0, "none is alive. The operator starts one with 'wes worker'."),
        ([FULL], 0, 0, "as no worker takes runs at present: the disk of the worker is full."),
        ([LIMITED], 2, 2, "for your other runs: 2 go on, and of one owner 2 may at once."),
        ([WORKER], 0, 4, "for a free slot: 4 runs go on, and the workers take 4 at once."),
        ([WORKER, FULL], 0, 8, "for a free slot: 8 runs go on, and the workers take 8 at once."),
    ],
)
def test_it_says_what_the_run_waits_for(workers: list[WorkerInfo], own: int, everybody: int, why: str) -> None:
    assert why_queued(a_run(1), workers, own=own, everybody=everybody).endswith(why)


@pytest.mark.parametrize(
    ("engine", "version", "wanted"), [("cwltool", "9", "cwltool 9"), ("none", None, "none"), ("other", None, "other")]
)
def test_an_engine_that_no_worker_has_is_named(engine: str, version: str | None, wanted: str) -> None:
    run = a_run(1, engine=engine, version=version)
    why = why_queued(run, [WORKER], own=0, everybody=0)
    assert why == f"It waits for a worker that has {wanted}: none of the 1 that are alive has it."

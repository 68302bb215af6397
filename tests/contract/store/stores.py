"""What the contract suite needs of any set of stores, and the values that it stores."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from tes.task import Task
from wes_service.core.notification import NotificationStore
from wes_service.core.ports import Lease, RetentionStore, RunStore, TaskStore, TombstoneStore, WorkerStore
from wes_service.core.run import Owner, Run, RunRequest, RunState

ANN = Owner(issuer="https://idp.example", subject="ann")
BOB = Owner(issuer="https://idp.example", subject="bob")
ENGINES = {"cwltool": ("3.1", "3.2")}
NOON = datetime(2025, 6, 7, 12, 0, 0, 123456, tzinfo=UTC)


class Stores(Protocol):
    @property
    def runs(self) -> RunStore: ...
    @property
    def tasks(self) -> TaskStore: ...
    @property
    def workers(self) -> WorkerStore: ...
    @property
    def tombstones(self) -> TombstoneStore: ...
    @property
    def notifications(self) -> NotificationStore: ...
    @property
    def retention(self) -> RetentionStore: ...


def a_run(
    number: int, owner: Owner = ANN, *, engine: str = "cwltool", version: str | None = None, priority: int | None = None
) -> Run:
    """Run `number`, made that many seconds after noon."""
    asked = {} if priority is None else {"priority": str(priority)}
    return Run(
        id=f"run-{number:06}",
        owner=owner,
        state=RunState.QUEUED,
        request=RunRequest(
            workflow_type="CWL",
            workflow_type_version="v1.2",
            workflow_url="main.cwl",
            workflow_params={"n": number, "deep": [None, 1.5, {"text": "naïve \0 ☃"}]},
            workflow_engine_parameters={"default_container": "debian", **asked},
            tags={"number": str(number)},
        ),
        attachments=("main.cwl", "data/reads.fq"),
        engine=engine,
        engine_version=version,
        created=NOON + timedelta(seconds=number),
    )


def a_task(number: int, run: Run) -> Task:
    return Task(
        id=f"{run.id}-task-{number:06}",
        run_id=run.id,
        name=f"count [{number}]",
        key=f"count/{number}",
        created=NOON + timedelta(seconds=number),
        body={"executors": [{"image": "debian", "command": ["wc"]}]},
    )


def lease_of(run: Run) -> Lease:
    assert run.worker is not None
    return Lease(run_id=run.id, worker=run.worker, epoch=run.epoch)


def claimed(stores: Stores, number: int = 1, owner: Owner = ANN, *, worker: str = "w1") -> Run:
    """A run that `worker` has just claimed; nothing else is queued."""
    run = stores.runs.add(a_run(number, owner), None)
    taken = stores.runs.claim(worker, ENGINES)
    assert taken is not None
    assert taken.id == run.id
    return taken

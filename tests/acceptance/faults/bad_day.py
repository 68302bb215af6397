"""What the scenarios of the bad day share: a workflow that takes its time, and what became of its runs."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.conftest import open_folder
from tests.acceptance.replicas import Cluster
from tests.acceptance.stack import Wes
from tests.acceptance.workflows import form, parts
from tests.engine_fixtures import engines_folder
from tests.waiting import until

ENDS_WITHIN = 240.0
"""Seconds that a run may take once all is well again, on a machine that is busy with other tests."""
LEASE = {"WES_LEASE_SECONDS": "6"}
OPEN = {"UNKNOWN", "QUEUED", "INITIALIZING", "RUNNING", "PAUSED", "CANCELING"}

CHAIN = """\
cwlVersion: v1.2
class: Workflow
inputs: {seconds: int}
outputs: {last: {type: File, outputSource: third/out}}
steps:
  first: {run: &wait {class: CommandLineTool, baseCommand: [sh, -c, 'sleep "$1"; echo done', sh], stdout: out.txt,
          inputs: {seconds: {type: int, inputBinding: {position: 1}}, before: {type: File?}}, outputs: {out: stdout}},
          in: {seconds: seconds}, out: [out]}
  second: {run: *wait, in: {seconds: {default: 3}, before: first/out}, out: [out]}
  third: {run: *wait, in: {seconds: {default: 3}, before: second/out}, out: [out]}
"""
"""Three steps, one after the other, of which the first takes as long as is asked for."""


@dataclass(frozen=True, kw_only=True)
class Afterwards:
    """What became of some runs: their logs, and the states of their tasks that are left on the TES."""

    runs: Sequence[Mapping[str, Any]]
    left: list[str]

    def check(self, state: str = "COMPLETE") -> None:
        assert {run["state"] for run in self.runs} == {state}, self.told()
        assert self.left == [], self.told()

    def told(self) -> str:
        """What the service says of these runs and of their tasks, for the reader of a failure."""
        return json.dumps([_without(run, "request") for run in self.runs], indent=1)


def _without(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key != name}


def submit(wes: Wes, seconds: int) -> str:
    return wes.submit(form(workflow_params=f'{{"seconds": {seconds}}}'), parts(CHAIN))


def wait_for_tasks(wes: Wes, *runs: str) -> None:
    """Until a task of each run is seen to run."""

    def have_begun() -> bool:
        return all(
            any("start_time" in task for task in wes.get(f"/runs/{run_id}/tasks")["task_logs"]) for run_id in runs
        )

    until(have_begun, lambda: str([wes.get(f"/runs/{run_id}") for run_id in runs]), ENDS_WITHIN)


def afterwards(wes: Wes, cluster: Cluster, *runs: str) -> Afterwards:
    """Waits for the end of each run, and for a while longer for what is to be cancelled on the TES."""
    for run_id in runs:
        wes.wait(run_id, seconds=ENDS_WITHIN)
    deadline = time.monotonic() + ENDS_WITHIN
    while (left := _left(cluster, runs)) and time.monotonic() < deadline:
        time.sleep(1)
    told = [{**wes.get(f"/runs/{run_id}"), "tasks": wes.get(f"/runs/{run_id}/tasks")["task_logs"]} for run_id in runs]
    return Afterwards(runs=told, left=left)


def _left(cluster: Cluster, runs: tuple[str, ...]) -> list[str]:
    return [task["state"] for task in cluster.tasks(*runs) if task["state"] in OPEN]


@contextmanager
def single(data: Path, **environment: str) -> Iterator[tuple[Wes, Cluster]]:
    """A `wes up` of its own, and beside it a TES of its own that a test can ask and end."""
    cluster = Cluster(data=data, database_url="", password="", redis_url="")
    wes = Wes(data=data, engines=engines_folder())
    try:
        cluster.start_tes()
        told = cluster.environment
        until(lambda: _answers(cluster), cluster.said, ENDS_WITHIN)
        wes.options = ("--tes", told["WES_TES_URLS"])
        wes.environment = {**LEASE, "WES_TES_TOKEN_FILE": told["WES_TES_TOKEN_FILE"], **environment}
        yield wes.start(), cluster
    finally:
        if wes.process is not None:
            wes.stop()
        cluster.stop()


def _answers(cluster: Cluster) -> bool:
    try:
        return cluster.tasks() == []
    except httpx.TransportError:
        return False


@contextmanager
def new_folder() -> Iterator[Path]:
    """Removed where all went well; else its logs are of use."""
    folder = open_folder()
    (folder / "up.log").touch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

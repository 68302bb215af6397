"""What a trial has shown: whether each run came to its right end, each step was executed once, and nothing is left."""

import contextlib
import fcntl
import json
import os
import re
import sqlite3
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
from sqlalchemy import text

from sandbox.identity import foreign_identity
from tes.task import TAG_KEY, TAG_RUN
from tests.chaos.sites import LOSE_WORKERS, Site, closing_engine, temporary_folder
from tests.chaos.trial import Ended, Kill, Trial
from tests.chaos.workflows import CALM, STEPS
from tests.engine_fixtures import SANDBOX_UID
from wes_service.storage.run_folders import STAGING, RunFolders

TAKE_OVER = re.compile(r"the worker .* goes on with the run, attempt")
UNFINISHED = {
    "tasks are open": "SELECT count(*) FROM tasks WHERE state IN ('QUEUED', 'INITIALIZING', 'RUNNING', 'CANCELING')",
    "cancels wait for a TES": "SELECT count(*) FROM pending_cancels",
    "runs are held by a worker": "SELECT count(*) FROM runs WHERE worker IS NOT NULL",
}
PARTIAL = re.compile(r"\.(part|tmp|partial)$")


@dataclass(frozen=True, kw_only=True)
class TesRecord:
    """A task as the embedded TES has it: whose step it is, its state, and how often it was begun again after the TES
    itself was killed."""

    run_id: str
    key: str
    state: str
    again: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`problems` is empty where all is as it must be."""

    kills: Counter[str]
    runs: Counter[str]
    steps: int
    doubled: int
    again: int
    take_overs: Sequence[float]
    problems: Sequence[str]

    def table(self) -> str:
        killed = "  ".join(f"{kind} {number}" for kind, number in sorted(self.kills.items()))
        seconds = [f"{self.take_overs[0]:.1f} s"] if len(self.take_overs) == 1 else []
        if len(self.take_overs) > 1:
            seconds = [f"p50 {statistics.median(self.take_overs):.1f} s", f"max {max(self.take_overs):.1f} s"]
        states = "  ".join(f"{state} {number}" for state, number in sorted(self.runs.items()))
        lines = [
            f"kills       {self.kills.total():4}   {killed}",
            f"runs        {self.runs.total():4}   {states}",
            f"lost        {self.runs.total() - self.runs['COMPLETE']:4}",
            f"steps       {self.steps:4}   doubled {self.doubled}, begun again by a TES that was killed {self.again}",
            f"take-overs  {len(self.take_overs):4}   {', '.join(seconds)}",
            *(f"PROBLEM     {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def judge(trial: Trial, records: Sequence[TesRecord], left: Sequence[str]) -> Verdict:
    """Pure; `left` is what is left behind, each in words."""
    runs = trial.disturbed
    ours = {run.submitted.run_id for run in [*trial.calm.values(), *runs]}
    submissions = Counter((one.run_id, one.key) for one in records if one.run_id in ours)
    again = {step: times for step, times in submissions.items() if times > 1}
    doubled = [f"{run_id}: step {key} was given to the TES {times} times" for (run_id, key), times in again.items()]
    per_run = Counter(one.run_id for one in records)
    miscounted = [f"{run_id}: {per_run[run_id]} steps, not {STEPS}" for run_id in ours if per_run[run_id] != STEPS]
    strangers = [f"{run_id}: a run that no client was told of" for run_id in {one.run_id for one in records} - ours]
    wrong = [problem for run in runs for problem in run_problems(run, trial.calm[run.submitted.workflow.engine])]
    return Verdict(
        kills=Counter(kill.kind for kill in trial.kills),
        runs=Counter(run.state for run in runs),
        steps=sum(per_run[run.submitted.run_id] for run in runs),
        doubled=len(doubled),
        again=sum(one.again for one in records),
        take_overs=[seconds for run in runs for seconds in take_over_seconds(run, trial.kills)],
        problems=[*wrong, *doubled, *miscounted, *strangers, *left],
    )


def run_problems(run: Ended, calm: Ended) -> Iterator[str]:
    name = f"{run.submitted.run_id} ({run.submitted.workflow.engine})"
    if run.state != "COMPLETE":
        yield f"{name}: {run.state}: {run.log['run_log']['system_logs']}"
        return
    expected = {file: data.replace(CALM.encode(), run.submitted.word.encode()) for file, data in calm.outputs.items()}
    if run.outputs != expected or not expected:
        yield f"{name}: its outputs are {run.outputs}, not {expected}"


def take_over_seconds(run: Ended, kills: Sequence[Kill]) -> Iterator[float]:
    """From the last kill of a worker to each time that a worker went on with the run."""
    for event in run.events:
        if TAKE_OVER.search(event.get("reason") or ""):
            moment = datetime.fromisoformat(event["time"])
            before = [kill.time for kill in kills if kill.kind in LOSE_WORKERS and kill.time < moment]
            if before:
                yield (moment - before[-1]).total_seconds()


def tes_records(data: Path) -> list[TesRecord]:
    """All that the embedded TES was ever given."""
    with closing(sqlite3.connect(data / "tes" / "tes.sqlite")) as database:
        rows = database.execute("SELECT document, state, json_array_length(earlier) FROM tasks").fetchall()
    return [
        TesRecord(run_id=tags[TAG_RUN], key=tags.get(TAG_KEY, ""), state=state, again=again)
        for document, state, again in rows
        if (tags := json.loads(document)["tags"])
    ]


def unfinished(site: Site) -> Iterator[str]:
    """What the service itself has not done yet, once all runs have ended."""
    with closing_engine(site.database_url) as engine, engine.connect() as connection:
        for what, query in UNFINISHED.items():
            if number := connection.execute(text(query)).scalar_one():
                yield f"{number} {what}"


def left_behind(data: Path) -> Iterator[str]:
    """After the end of the site: processes, locks and temporary files of it, but those that are removed after a day."""
    for upload in (data / "runs" / STAGING).iterdir():
        for path in (upload, *upload.rglob("*")):
            os.utime(path, (0, 0))
    RunFolders(data / "runs", foreign_identity(SANDBOX_UID)).remove_stale_uploads()
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(data) in words:
            yield f"process {process.pid} is left: {words[:200]}"
    for folder in (data / "tes" / "tasks", data / "runs" / STAGING, temporary_folder(data)):
        yield from (f"left in {folder.name}: {path.name}" for path in folder.iterdir())
    yield from (f"left: {path}" for path in data.rglob("*") if PARTIAL.search(path.name) or path.name == "gw.sock")
    if (data / "lock").exists():
        with (data / "lock").open() as lock, contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        yield "the data folder is still locked"

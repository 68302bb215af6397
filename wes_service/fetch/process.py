"""Fetches in a process of its own (see `program`), so that it ends when it is told to, whatever it waits for."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

import wes_service
from common.errors import EngineError, FetchStopped, SystemFailure
from sandbox.identity import Identity
from wes_service.core.workflow import FetchedWorkflow, FetchRequest, RepositoryFile, WebDocument
from wes_service.fetch.web import FetchLimits

log = structlog.get_logger(__name__)

PROGRAM = "wes_service.fetch.program"
LOOK_SECONDS = 0.05
SPARE_SECONDS = 10.0
LONGEST_ANSWER = 1024 * 1024
SCRATCH = ".fetch"
"""A folder in the run's, for as long as the fetch lasts."""


@dataclass(frozen=True, kw_only=True)
class ProcessFetcher:
    """See `WorkflowFetcher`."""

    limits: FetchLimits
    identity: Identity
    ca_file: Path | None = None

    def fetch(self, order: FetchRequest, stopped: Callable[[], bool]) -> FetchedWorkflow:
        job = FetchJob(order=order, limits=self.limits, identity=self.identity, ca_file=self.ca_file)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = _start(out, err)
            try:
                _send_job(process, job)
                self._wait(process, stopped)
            finally:
                process.kill()
                process.wait()
                if process.stdin:
                    with contextlib.suppress(OSError):
                        process.stdin.close()
                shutil.rmtree(order.root / SCRATCH, ignore_errors=True)
            return _fetched(_read(out), process.returncode, _read(err))

    def _wait(self, process: "subprocess.Popen[bytes]", stopped: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.limits.seconds + SPARE_SECONDS
        while process.poll() is None:
            if stopped():
                raise FetchStopped(FetchStopped.__doc__)
            if time.monotonic() > deadline:
                raise SystemFailure(self.limits.too_slow)
            time.sleep(LOOK_SECONDS)


@dataclass(frozen=True, kw_only=True)
class FetchJob:
    """`ca_file`: certificate authorities in place of the usual ones."""

    order: FetchRequest
    limits: FetchLimits
    identity: Identity
    ca_file: Path | None = None

    def as_json(self) -> str:
        """One line, for `job_of`."""
        workflow = self.order.workflow
        return json.dumps(
            {
                "kind": type(workflow).__name__,
                "workflow": vars(workflow),
                "root": str(self.order.root),
                "language": self.order.language,
                "limits": vars(self.limits),
                "identity": vars(self.identity),
                "ca_file": str(self.ca_file) if self.ca_file else None,
            }
        )


def job_of(text: str) -> FetchJob:
    """The reverse of `FetchJob.as_json`."""
    given: dict[str, Any] = json.loads(text)
    kind = {"WebDocument": WebDocument, "RepositoryFile": RepositoryFile}[given["kind"]]
    limits = {**given["limits"], "allow": tuple(given["limits"]["allow"])}
    return FetchJob(
        order=FetchRequest(workflow=kind(**given["workflow"]), root=Path(given["root"]), language=given["language"]),
        limits=FetchLimits(**limits),
        identity=Identity(**given["identity"]),
        ca_file=Path(given["ca_file"]) if given["ca_file"] else None,
    )


def _start(out: IO[bytes], err: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            # Nothing of the server's own settings: what is fetched is foreign.
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd=Path(wes_service.__file__).parents[1],
            start_new_session=True,
        )
    except OSError as error:
        raise SystemFailure(f"the fetch of the workflow could not be started: {error}") from error


def _send_job(process: "subprocess.Popen[bytes]", job: FetchJob) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    with contextlib.suppress(OSError):
        process.stdin.write(f"{job.as_json()}\n".encode())
        process.stdin.flush()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(LONGEST_ANSWER).decode(errors="replace")


def _fetched(text: str, code: int, stderr: str) -> FetchedWorkflow:
    if stderr:
        log.warning("a fetch of a workflow complained", action="fetch", exit_code=code, stderr=stderr[-4000:])
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        raise SystemFailure(
            f"the fetch of the workflow broke down (exit code {code}); the worker's log says more"
        ) from None
    problem = answer.get("problem")
    if problem is not None:
        raise (EngineError if answer.get("blame") == "workflow" else SystemFailure)(str(problem))
    return FetchedWorkflow(name=answer["name"], source=answer["source"], lines=tuple(answer["lines"]))

"""One command line tool as a TES task: cwltool's job runner."""

import os
from pathlib import Path
from typing import Any

from cwltool.errors import UnsupportedRequirement, WorkflowException
from cwltool.job import JobBase
from cwltool.pathmapper import PathMapper
from cwltool.utils import bytes2str_in_dicts, visit_files
from schema_salad.exceptions import ValidationException

from .context import Services
from .failure import Failure, condensed
from .folders import new_folder, replace_by_link, write_back, write_literal
from .outcome import COMPLETE, LOST, PERMANENT, SUCCESS, TEMPORARY, Codes, Outcome, outcome_of, sentence
from .progress import StepState
from .report import report
from .staging import Entry, is_remote
from .step import PathElement, Resources, Step
from .tasks import RunStopped, TimeUp
from .tes_client import TesRefused, TesUnreachable

CONTAINER_TMPDIR = "/tmp"  # noqa: S108 - in the container


class TesJob(JobBase):
    """`services` and `path` are set by the tool that makes it."""

    services: Services
    path: tuple[PathElement, ...]
    image: str
    outdir: str

    def run(self, runtimeContext: Any, tmpdir_lock: Any = None) -> None:  # noqa: ARG002, N803
        outputs: Any = {}
        status = PERMANENT
        step = ".".join(element.label for element in self.path)
        self.services.progress.step(step, StepState.RUNNING)
        try:
            status, outputs = self._run_attempts(runtimeContext)
        except RunStopped:
            pass
        except TimeUp as error:
            self._fail("step", f"took longer than its time limit of {self.timelimit} s", str(error))
        except (TesRefused, TesUnreachable) as error:
            self._fail("tes", f"could not be sent: {error}")
        except UnsupportedRequirement as error:
            self._fail("unsupported", f"needs what is not supported: {condensed(str(error))}")
        except (WorkflowException, ValidationException, OSError) as error:
            self._fail("step", condensed(str(error)))
        if status != SUCCESS and self.services.settings.on_error == "stop":
            self.services.tasks.cancel_all()
        self.services.progress.step(step, StepState.DONE if status == SUCCESS else StepState.FAILED)
        with runtimeContext.workflow_eval_lock:
            self.output_callback(outputs, status)

    def _run_attempts(self, context: Any) -> tuple[str, Any]:
        step = self._step(context)
        last = self.services.settings.max_retries + 1
        for attempt in range(1, last + 1):
            outcome = self._attempt(step, attempt)
            status = self._status(outcome)
            if attempt == last or not (status == TEMPORARY or outcome.state in LOST):
                break
        return self._finish(outcome, status)

    def _attempt(self, step: Step, attempt: int) -> Outcome:
        folder = Path(self.outdir) if attempt == 1 else new_folder(self.services.settings.steps, step.name)
        task = step.task(folder, self.services.settings.empty, attempt)
        task_id, document = self.services.tasks.run(task, self.timelimit)
        outcome = outcome_of(task_id, document)
        self.outdir = str(self._own_folder(outcome.out) or folder)
        return outcome

    def _own_folder(self, out: Path | None) -> Path | None:
        """Where the task really wrote: another folder than asked for, where the gateway knew the step already."""
        if out is None or not out.is_dir():
            return None
        return out if out.resolve().is_relative_to(self.services.settings.steps.resolve()) else None

    def _status(self, outcome: Outcome) -> str:
        if outcome.state in LOST or outcome.state == "CANCELED":
            return PERMANENT
        return self._codes().status(outcome.exit_code)

    def _codes(self) -> Codes:
        return Codes(
            success=frozenset(self.successCodes),
            temporary=frozenset(self.temporaryFailCodes),
            permanent=frozenset(self.permanentFailCodes),
        )

    def _finish(self, outcome: Outcome, status: str) -> tuple[str, Any]:
        if status != SUCCESS:
            if not (outcome.state == "CANCELED" and self.services.tasks.stopped):
                self._fail_with(outcome)
            return status, {}
        if outcome.state != COMPLETE and not self._codes().success:
            raise WorkflowException(f"its task ended as {outcome.state}: {outcome.system}")
        self._take_back()
        return status, bytes2str_in_dicts(self.collect_outputs(self.outdir, outcome.exit_code))

    def _step(self, context: Any) -> Step:
        return Step(
            path=self.path,
            command=[str(part) for part in self._command()],
            image=self.image,
            outdir=self.builder.outdir,
            environment=dict(self.environment),
            stdin=self.stdin,
            stdout=self.stdout,
            stderr=self.stderr,
            entries=tuple(self._entries(context)),
            resources=self._resources(),
            ignore_error=bool(set(self.successCodes) - {0}),
        )

    def _command(self) -> list[str]:
        if not self.command_line:
            raise WorkflowException("the tool has no command: give it a baseCommand, arguments or an inputBinding")
        return self.command_line

    def _resources(self) -> Resources:
        """Only what the tool asks for: cwltool's own defaults would be limits on a TES."""
        wanted, _ = self.builder.get_requirement("ResourceRequirement")
        asked = {name[:-3] for name in wanted or {} if name.endswith(("Min", "Max"))}
        given = self.builder.resources
        disk = (given["outdirSize"] + given["tmpdirSize"]) if asked & {"outdir", "tmpdir"} else None
        return Resources(
            cores=given["cores"] if "cores" in asked else None, ram=given["ram"] if "ram" in asked else None, disk=disk
        )

    def _entries(self, context: Any) -> list[Entry]:
        checksums: dict[str, str] = {}
        visit_files(self.joborder, lambda item: checksums.update({item["location"]: str(item.get("checksum") or "")}))
        self.generatemapper = self.make_path_mapper(self.generatefiles["listing"], self.builder.outdir, context, False)
        return [
            self._entry(mapper, location, checksums)
            for mapper in (self.pathmapper, self.generatemapper)
            for location, mapped in list(mapper.items())
            if mapped.staged
        ]

    def _entry(self, mapper: PathMapper, location: str, checksums: dict[str, str]) -> Entry:
        mapped = mapper.mapper(location)
        kind, writable = mapped.type, "Writable" in mapped.type
        if kind.startswith("Create"):
            copy = write_literal(self.services.settings.literals, mapped.resolved, Path(mapped.target).name)
            # An output that passes the literal on needs a file that it can point to.
            mapper.update(location, str(copy), mapped.target, kind, mapped.staged)
            return Entry(
                target=mapped.target,
                source=str(copy),
                text=mapped.resolved,
                writable=writable,
                identity=copy.parent.name,
            )
        directory = kind.endswith("Directory")
        entry = Entry(target=mapped.target, source=mapped.resolved, directory=directory, writable=writable)
        if entry.made:
            return Entry(target=entry.target, source=entry.source, directory=True, writable=writable, identity="made")
        check_there(entry)
        identity = checksums.get(location) or (mapped.resolved if directory else _fingerprint(mapped.resolved))
        return Entry(
            target=entry.target, source=entry.source, directory=directory, writable=writable, identity=identity
        )

    def _take_back(self) -> None:
        """Puts links to the run's own files where the tool saw read-only ones, whatever the TES brought back there."""
        if self.generatemapper is None:
            return
        for mapped in self.generatemapper:
            place = self._in_outdir(mapped.target)
            if place is None or not mapped.staged or is_remote(mapped.resolved) or mapped.resolved.startswith("_:"):
                continue
            if mapped.type in {"File", "Directory", "CreateFile"}:
                replace_by_link(place, mapped.resolved)
            elif self.inplace_update and mapped.type in {"WritableFile", "WritableDirectory"}:
                write_back(place, mapped.resolved)
                replace_by_link(place, mapped.resolved)

    def _in_outdir(self, target: str) -> Path | None:
        start = self.builder.outdir.rstrip("/") + "/"
        return Path(self.outdir, target.removeprefix(start)) if target.startswith(start) else None

    def _fail_with(self, outcome: Outcome) -> None:
        reason = sentence(self.name, outcome)
        kind = "tes" if outcome.state in LOST else "step"
        self._report(
            Failure(
                kind=kind,
                sentence=reason,
                step=self.name,
                task_id=outcome.task_id,
                exit_code=None if kind == "tes" else outcome.exit_code,
            )
        )

    def _fail(self, kind: str, reason: str, task_id: str | None = None) -> None:
        self._report(
            Failure(kind=kind, sentence=f"the step '{self.name}' {_joined(reason)}", step=self.name, task_id=task_id)
        )

    def _report(self, failure: Failure) -> None:
        self.services.failures.add(failure)
        report(failure.sentence)

    def _required_env(self) -> dict[str, str]:
        return {"HOME": self.builder.outdir, "TMPDIR": CONTAINER_TMPDIR}


def check_there(entry: Entry) -> None:
    if is_remote(entry.source):
        return
    path = Path(entry.source)
    if not (path.is_dir() if entry.directory else path.is_file()):
        kind = "directory" if entry.directory else "file"
        raise WorkflowException(f"needs the {kind} {entry.source}, which is not there")


def _fingerprint(path: str) -> str:
    return path if is_remote(path) else f"{path}:{os.stat(path).st_size}"  # noqa: PTH116


def _joined(reason: str) -> str:
    return reason if reason.startswith(("took", "could", "needs")) else f"failed: {reason}"

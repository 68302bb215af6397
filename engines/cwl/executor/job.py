"""One command line tool as a TES task: cwltool's job runner."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from cwltool.errors import UnsupportedRequirement, WorkflowException
from cwltool.job import JobBase
from cwltool.pathmapper import PathMapper
from cwltool.utils import bytes2str_in_dicts, visit_files
from schema_salad.exceptions import ValidationException

from engines.cwl.executor.failure import condensed
from engines.cwl.executor.files import add_checksum
from engines.cwl.executor.folders import (
    first_outputs,
    new_output_folder,
    replace_by_link,
    write_back,
    write_literal,
)
from engines.cwl.executor.settings import CwlRun
from engines.cwl.executor.step import PERMANENT, SUCCESS, TEMPORARY, ExitCodes, InputEntry, Step, ToolResources
from engines.kit.files import is_remote
from engines.kit.reports import Failure, StepState, report
from engines.kit.task_document import StepPath, step_name
from engines.kit.tasks import COMPLETE, RunStopped, TaskOutcome, TimeLimitExceeded
from engines.kit.tes_client import TesRefused, TesUnreachable

CONTAINER_TMPDIR = "/tmp"  # noqa: S108 - in the container


class TesJob(JobBase):
    """Sends the tool's command line, and collects its outputs; the tool that makes it sets the attributes below."""

    run_context: CwlRun
    path: StepPath
    image: str
    network: bool | None
    streamable: frozenset[str]
    outdir: str

    def run(self, runtimeContext: Any, tmpdir_lock: Any = None) -> None:  # noqa: ARG002, N803
        outputs: Any = {}
        status = PERMANENT
        step = step_name(self.path)
        self.run_context.progress.step(step, StepState.RUNNING)
        try:
            status, outputs = self._run_attempts(runtimeContext)
        except RunStopped:
            pass
        except TimeLimitExceeded as error:
            self._fail("step", f"took longer than its time limit of {self.timelimit} s", str(error))
        except (TesRefused, TesUnreachable) as error:
            self._fail("tes", f"could not be sent: {error}")
        except UnsupportedRequirement as error:
            self._fail("unsupported", f"needs what is not supported: {condensed(str(error))}")
        except (WorkflowException, ValidationException, OSError) as error:
            self._fail("step", condensed(str(error)))
        if status != SUCCESS and self.run_context.settings.on_error == "stop":
            self.run_context.tasks.cancel_all()
        self.run_context.progress.step(step, StepState.DONE if status == SUCCESS else StepState.FAILED)
        with runtimeContext.workflow_eval_lock:
            self.output_callback(outputs, status)

    def _run_attempts(self, context: Any) -> tuple[str, Any]:
        step = self._step(context)
        last = self.run_context.settings.max_retries + 1
        for attempt in range(1, last + 1):
            outcome = self._attempt(step, attempt)
            status = self._status(outcome)
            if attempt == last or not (status == TEMPORARY or outcome.lost):
                break
        return self._finish(outcome, status)

    def _attempt(self, step: Step, attempt: int) -> TaskOutcome:
        folder = Path(self.outdir) if attempt == 1 else new_output_folder(self.run_context.settings.steps, step.name)
        task = step.task(folder, self.run_context.settings.empty, attempt)
        outcome = self.run_context.tasks.run(task, self.timelimit)
        self.outdir = str(outcome.output_folder_in(self.run_context.settings.steps) or folder)
        return outcome

    def _status(self, outcome: TaskOutcome) -> str:
        if outcome.lost or outcome.canceled:
            return PERMANENT
        return self._codes().status(outcome.exit_code)

    def _codes(self) -> ExitCodes:
        return ExitCodes(
            success=frozenset(self.successCodes),
            temporary=frozenset(self.temporaryFailCodes),
            permanent=frozenset(self.permanentFailCodes),
        )

    def _finish(self, outcome: TaskOutcome, status: str) -> tuple[str, Any]:
        if status != SUCCESS:
            if not (outcome.canceled and self.run_context.tasks.stopped):
                self._fail_with(outcome)
            return status, {}
        if outcome.state != COMPLETE and not self._codes().success:
            raise WorkflowException(f"its task ended as {outcome.state}: {outcome.system}")
        self._restore_inputs()
        outputs = bytes2str_in_dicts(self.collect_outputs(self.outdir, outcome.exit_code))
        visit_files(outputs, add_checksum)
        return status, first_outputs(Path(self.outdir), outputs)

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

    def _resources(self) -> ToolResources:
        """Only what the tool asks for: cwltool's own defaults would be limits on a TES."""
        requirement, _ = self.builder.get_requirement("ResourceRequirement")
        asked = {name[:-3] for name in requirement or {} if name.endswith(("Min", "Max"))}
        amounts = self.builder.resources
        disk = (amounts["outdirSize"] + amounts["tmpdirSize"]) if asked & {"outdir", "tmpdir"} else None
        cores, ram = (amounts[name] if name in asked else None for name in ("cores", "ram"))
        gpus = int(amounts.get("cudaDeviceCount", 0))
        return ToolResources(cores=cores, ram=ram, disk=disk, gpus=gpus, network=self.network)

    def _entries(self, context: Any) -> list[InputEntry]:
        sizes: dict[str, int | None] = {}
        visit_files(
            self.joborder, lambda item: sizes.update({item["location"]: item["size"]} if "size" in item else {})
        )
        streamed: set[str] = set()
        visit_files(
            [value for name, value in self.joborder.items() if name in self.streamable],
            lambda item: streamed.add(item["location"]),
        )
        self.generatemapper = self.make_path_mapper(self.generatefiles["listing"], self.builder.outdir, context, False)
        return [
            replace(self._entry(mapper, location, sizes.get(location)), streamable=location in streamed)
            for mapper in (self.pathmapper, self.generatemapper)
            for location, mapped in list(mapper.items())
            if mapped.staged
        ]

    def _entry(self, mapper: PathMapper, location: str, size: int | None) -> InputEntry:
        """`size`: what is said of a file by the step that made it, as a later one may have changed it in place."""
        mapped = mapper.mapper(location)
        kind, writable = mapped.type, "Writable" in mapped.type
        if kind.startswith("Create"):
            copy = write_literal(self.run_context.settings.literals, mapped.resolved, Path(mapped.target).name)
            # An output that passes the literal on needs a file that it can point to.
            mapper.update(location, str(copy), mapped.target, kind, mapped.staged)
            return InputEntry(
                target=mapped.target,
                source=str(copy),
                text=mapped.resolved,
                writable=writable,
                identity=copy.parent.name,
            )
        entry = InputEntry(
            target=mapped.target, source=mapped.resolved, directory=kind.endswith("Directory"), writable=writable
        )
        if entry.made:
            return replace(entry, directory=True, identity="made")
        _check_exists(entry)
        # Not by checksum: it is known only of files whose bytes are here, which a restart may change.
        return replace(entry, identity=mapped.resolved if entry.directory else _fingerprint(mapped.resolved, size))

    def _restore_inputs(self) -> None:
        """Puts links to the run's own files where the tool saw them, whatever the TES brought back there."""
        if self.generatemapper is None:
            return
        for mapped in self.generatemapper:
            path = self._in_outdir(mapped.target)
            if path is None or not mapped.staged or is_remote(mapped.resolved) or mapped.resolved.startswith("_:"):
                continue
            if mapped.type in {"File", "Directory", "CreateFile"}:
                replace_by_link(path, mapped.resolved)
            elif self.inplace_update and mapped.type in {"WritableFile", "WritableDirectory"}:
                write_back(path, mapped.resolved)
                replace_by_link(path, mapped.resolved)

    def _in_outdir(self, target: str) -> Path | None:
        start = self.builder.outdir.rstrip("/") + "/"
        return Path(self.outdir, target.removeprefix(start)) if target.startswith(start) else None

    def _fail_with(self, outcome: TaskOutcome) -> None:
        kind = "tes" if outcome.lost else "step"
        self._report(
            Failure(
                kind=kind,
                sentence=outcome.sentence(self.name),
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
        self.run_context.failures.add(failure)
        report(failure.sentence)

    def _required_env(self) -> dict[str, str]:
        return {"HOME": self.builder.outdir, "TMPDIR": CONTAINER_TMPDIR}


def _check_exists(entry: InputEntry) -> None:
    if is_remote(entry.source):
        return
    path = Path(entry.source)
    if not (path.is_dir() if entry.directory else path.is_file()):
        kind = "directory" if entry.directory else "file"
        raise WorkflowException(f"needs the {kind} {entry.source}, which is not there")


def _fingerprint(path: str, size: int | None) -> str:
    if is_remote(path):
        return path
    return f"{path}:{os.stat(path).st_size if size is None else size}"  # noqa: PTH116


def _joined(reason: str) -> str:
    return reason if reason.startswith(("took", "could", "needs")) else f"failed: {reason}"

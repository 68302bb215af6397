"""Runs one workflow to its end."""

import functools
import logging
from pathlib import Path
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.errors import GraphTargetMissingException, UnsupportedRequirement, WorkflowException
from cwltool.executors import TMPDIR_LOCK, JobExecutor, MultithreadedJobExecutor
from schema_salad.exceptions import ValidationException

from engines.cwl.executor.extensions import ExtensionRefused
from engines.cwl.executor.failure import ErrorLog, condensed
from engines.cwl.executor.files import FileAccess, NumberedPathMapper
from engines.cwl.executor.gather import gathered
from engines.cwl.executor.load import load_inputs, load_process
from engines.cwl.executor.settings import CwlRun
from engines.cwl.executor.step import SUCCESS
from engines.cwl.executor.tools import tool_count, tool_maker
from engines.kit.files import write_json
from engines.kit.outputs_on_demand import fetch_when_opened
from engines.kit.reports import Failure, report
from engines.kit.task_document import StepPath

WORKING_DIRECTORY = "/var/spool/cwl"
STAGED_FILES = "/var/lib/cwl"
"""In a step's container."""
OUTPUT_FIELDS = frozenset(
    {"class", "location", "basename", "size", "checksum", "secondaryFiles", "listing", "format", "contents"}
)
UNSUPPORTED = 33
"""cwltool's exit code for a feature that it does not have (also what the CWL conformance tests expect)."""


class StepContext(RuntimeContext):
    """cwltool's context of a run; `step_path` leads to the step that this copy of it is for."""

    def __init__(self, run: CwlRun) -> None:
        settings = run.settings
        super().__init__(
            {
                "basedir": str(settings.attachments),
                "outdir": str(settings.outputs),
                "tmpdir_prefix": f"{settings.scratch}/",
                "tmp_outdir_prefix": f"{settings.scratch}/",
                "docker_outdir": WORKING_DIRECTORY,
                "docker_stagedir": STAGED_FILES,
                "rm_tmpdir": False,
                # See `gather`.
                "move_outputs": "leave",
                # It would read every file. The job adds those of files that are here.
                "compute_checksum": False,
                "on_error": settings.on_error,
                "eval_timeout": float(settings.expression_timeout),
            }
        )
        self.run = run
        self.step_path: StepPath = ()
        self.select_resources = _granted

    def create_tmpdir(self) -> str:
        """One for all: nothing is ever staged in the engine."""
        return str(self.run.settings.scratch)

    def create_outdir(self) -> str:
        """For what is not a tool; a tool gets a folder of its own."""
        return str(self.run.settings.scratch)


def _granted(asked: Any, context: Any) -> Any:
    return context.run.settings.granted(asked)


class TesJobExecutor(MultithreadedJobExecutor):
    """As many steps at once as there are threads; what a machine can take is the TES's to decide."""

    def __init__(self, parallel: int, steps: Path) -> None:
        # Not MultithreadedJobExecutor's own: it looks for this machine's memory and graphics cards.
        JobExecutor.__init__(self)
        self.exceptions: list[WorkflowException] = []
        self.max_cores = float(parallel)
        self.allocated_ram = self.allocated_cores = 0.0
        self.allocated_cuda = 0
        self.output_dirs.add(str(steps))

    def output_callback(self, out: Any, process_status: str) -> None:
        # cwltool moves each file object that it finds, and stumbles over one that is part of two outputs.
        super().output_callback(unshared(out), process_status)

    def run_job(self, job: Any, runtime_context: Any) -> None:
        if job is not None:
            work = functools.partial(self._runner, job, runtime_context, TMPDIR_LOCK)
            self.taskqueue.add(work, runtime_context.workflow_eval_lock)


def run_workflow(run: CwlRun) -> int:
    """The exit code; a failure is written down in words."""
    fetch_when_opened(run.tasks.fetch)
    errors = ErrorLog()
    logger = logging.getLogger("cwltool")
    logger.addHandler(errors)
    try:
        code = _load_and_execute(run)
    except Exception as error:
        logger.debug("unexpected", exc_info=True)
        return _failed(run, "engine", f"the engine failed: {condensed(str(error)) or type(error).__name__}")
    if code != 0 and run.failures.first is None:
        _failed(run, "step", condensed(errors.first or "the workflow failed"))
    return code


def _load_and_execute(run: CwlRun) -> int:
    settings = run.settings
    try:
        process = load_process(settings, tool_maker(settings.default_image))
    except GraphTargetMissingException as error:
        return _failed(run, "workflow", f"name one with workflow_url 'FILE#NAME': {condensed(str(error))}")
    except (UnsupportedRequirement, ExtensionRefused) as error:
        return _failed(run, "unsupported", f"the workflow needs what is not supported: {condensed(str(error))}")
    except Exception as error:  # noqa: BLE001 - cwltool has no one kind for a document that it can't make sense of
        return _failed(run, "workflow", f"the workflow is not valid: {condensed(str(error))}")
    try:
        inputs = load_inputs(settings, process)
    except (ValidationException, WorkflowException, RuntimeError) as error:
        return _failed(run, "inputs", f"the inputs are not valid: {condensed(str(error))}")
    return _execute(run, process, inputs)


def _execute(run: CwlRun, process: Any, inputs: Any) -> int:
    settings = run.settings
    run.progress.expect("workflow", tool_count(process))
    context = StepContext(run)
    context.make_fs_access = FileAccess
    context.path_mapper = NumberedPathMapper
    try:
        outputs, status = TesJobExecutor(settings.parallel, settings.steps).execute(process, inputs, context)
    except UnsupportedRequirement as error:
        return _failed(run, "unsupported", f"the workflow needs what is not supported: {condensed(str(error))}")
    except (ValidationException, WorkflowException) as error:
        return _failed(run, "inputs", condensed(str(error)))
    if status != SUCCESS or outputs is None:
        return 1
    write_json(settings.output_object, tidied(gathered(outputs, settings.outputs)))
    return 0


def _failed(run: CwlRun, kind: str, sentence: str) -> int:
    if run.failures.first is None:
        report(sentence)
    run.failures.add(Failure(kind=kind, sentence=sentence))
    return UNSUPPORTED if kind == "unsupported" else 1


def unshared(value: Any) -> Any:
    """A copy in which nothing is there twice."""
    if isinstance(value, dict):
        return {name: unshared(item) for name, item in value.items()}
    return [unshared(item) for item in value] if isinstance(value, list) else value


def tidied(value: Any) -> Any:
    """Without the fields of files that only make sense inside a step."""
    if isinstance(value, list):
        return [tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_file = value.get("class") in {"File", "Directory"}
    return {str(name): tidied(item) for name, item in value.items() if not is_file or name in OUTPUT_FIELDS}

"""Runs one workflow to its end."""

import functools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cwltool.errors import GraphTargetMissingException, UnsupportedRequirement, WorkflowException
from cwltool.executors import TMPDIR_LOCK, JobExecutor, MultithreadedJobExecutor
from schema_salad.exceptions import ValidationException

from .context import Services, StepContext
from .failure import ErrorLog, Failure, condensed
from .files import FileAccess, NumberedPathMapper
from .load import load_inputs, load_process
from .outcome import SUCCESS
from .report import report
from .tools import tool_count, tool_maker

KEPT = frozenset(
    {"class", "location", "basename", "size", "checksum", "secondaryFiles", "listing", "format", "contents"}
)
UNSUPPORTED = 33
"""cwltool's exit code for a feature that it does not have (also what the CWL conformance tests expect)."""


class TesExecutor(MultithreadedJobExecutor):
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


def run(services: Services) -> int:
    """The exit code; a failure is written down in words."""
    errors = ErrorLog()
    logger = logging.getLogger("cwltool")
    logger.addHandler(errors)
    try:
        code = _run(services)
    except Exception as error:
        logger.debug("unexpected", exc_info=True)
        return _failed(services, "engine", f"the engine failed: {condensed(str(error)) or type(error).__name__}")
    if code != 0 and services.failures.first is None:
        _failed(services, "step", condensed(errors.first or "the workflow failed"))
    return code


def _run(services: Services) -> int:
    settings = services.settings
    try:
        process = load_process(settings, tool_maker(settings.default_image))
    except GraphTargetMissingException as error:
        return _failed(services, "workflow", f"name one with workflow_url 'FILE#NAME': {condensed(str(error))}")
    except UnsupportedRequirement as error:
        return _failed(services, "unsupported", f"the workflow needs what is not supported: {condensed(str(error))}")
    except Exception as error:  # noqa: BLE001 - cwltool has no one kind for a document that it can't make sense of
        return _failed(services, "workflow", f"the workflow is not valid: {condensed(str(error))}")
    try:
        inputs = load_inputs(settings, process)
    except (ValidationException, WorkflowException, RuntimeError) as error:
        return _failed(services, "inputs", f"the inputs are not valid: {condensed(str(error))}")
    return _execute(services, process, inputs)


def _execute(services: Services, process: Any, inputs: Any) -> int:
    settings = services.settings
    services.progress.know("workflow", tool_count(process))
    context = StepContext(services)
    context.make_fs_access = FileAccess
    context.path_mapper = NumberedPathMapper
    try:
        outputs, status = TesExecutor(settings.parallel, settings.steps).execute(process, inputs, context)
    except UnsupportedRequirement as error:
        return _failed(services, "unsupported", f"the workflow needs what is not supported: {condensed(str(error))}")
    except (ValidationException, WorkflowException) as error:
        return _failed(services, "inputs", condensed(str(error)))
    if status != SUCCESS or outputs is None:
        return 1
    write_outputs(settings.output_object, tidied(outputs))
    return 0


def _failed(services: Services, kind: str, sentence: str) -> int:
    if services.failures.first is None:
        report(sentence)
    services.failures.add(Failure(kind=kind, sentence=sentence))
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
    return {str(name): tidied(item) for name, item in value.items() if not is_file or name in KEPT}


def write_outputs(path: Path, outputs: Any, dump: Callable[..., str] = json.dumps) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(dump(outputs, indent=1))
    unfinished.rename(path)

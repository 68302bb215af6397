"""Runs one workflow to its end."""

from typing import Any

import WDL
import WDL.runtime

from engines.kit.files import write_json
from engines.kit.reports import Failure, FailureReport, report
from engines.wdl.executor import failure, miniwdl
from engines.wdl.executor.load import WorkflowRejected, load_inputs, load_target
from engines.wdl.executor.miniwdl import RunConfig, WdlRun
from engines.wdl.executor.outputs import output_object
from engines.wdl.executor.settings import WdlContext


class CannotStart(Exception):
    """The run can't start; the message is for a person."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = Failure(kind=kind, sentence=sentence)


def prepare(context: WdlContext) -> tuple[WdlRun, Any, Any]:
    """What runs, and its inputs; raises `CannotStart`. For the main thread, whose event loop miniwdl reads with."""
    settings = context.settings
    try:
        target = load_target(settings)
    except WorkflowRejected as error:
        raise CannotStart("workflow", f"the workflow is not valid: {error}") from error
    except Exception as error:
        raise CannotStart(
            "workflow", f"the workflow is not valid: {failure.document_error(error, settings.attachments)}"
        ) from error
    try:
        inputs = load_inputs(settings, target)
    except (WorkflowRejected, WDL.Error.InputError) as error:
        raise CannotStart("inputs", f"the inputs are not valid: {error}") from error
    return WdlRun(context=context, root=settings.new_run_folder(), target=target.name), target, inputs


def execute(run: WdlRun, target: Any, inputs: Any) -> int:
    """The exit code; a failure is written down in words."""
    miniwdl.install_replacements()
    settings = run.context.settings
    config = RunConfig(run)
    if isinstance(target, WDL.Task):
        run.context.progress.expect(target.name, 1)
    try:
        # The dot: in this folder, not in one named after the time.
        _, outputs = WDL.runtime.run(config, target, inputs, run_dir=f"{run.root}/.")
        write_json(settings.output_object, output_object(settings, target, outputs))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads it
        return fail(run.context.failures, failure.run_failure(error, run.root, run.target, settings.attachments))
    return 0


def fail(failures: FailureReport, failure: Failure) -> int:
    """Writes it down; the exit code."""
    report(failure.sentence)
    failures.add(failure)
    return 1

"""Runs one workflow to its end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import WDL
import WDL.runtime

from engines.cwl.executor.failure import Failure, Failures
from engines.cwl.executor.progress import Progress
from engines.cwl.executor.report import report
from engines.cwl.executor.tasks import Tasks
from engines.wdl.executor import counted, reasons
from engines.wdl.executor.inputs import load_inputs
from engines.wdl.executor.load import Refused, load_target
from engines.wdl.executor.outputs import output_object
from engines.wdl.executor.services import RunConfig, Services
from engines.wdl.executor.settings import RunSettings


class Given(Exception):
    """The run can't start; the message is for a person."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = Failure(kind=kind, sentence=sentence)


def prepare(settings: RunSettings, tasks: Tasks) -> tuple[Services, Any, Any]:
    """What runs, and its inputs; raises `Given`. In the main thread: miniwdl reads documents with its event loop."""
    try:
        target = load_target(settings)
    except Refused as error:
        raise Given("workflow", f"the workflow is not valid: {error}") from error
    except Exception as error:
        raise Given(
            "workflow", f"the workflow is not valid: {reasons.of_document(error, settings.attachments)}"
        ) from error
    try:
        inputs = load_inputs(settings, target)
    except (Refused, WDL.Error.InputError) as error:
        raise Given("inputs", f"the inputs are not valid: {error}") from error
    services = Services(
        settings=settings,
        tasks=tasks,
        progress=Progress(settings.progress),
        root=settings.new_run_folder(),
        target=target.name,
    )
    return services, target, inputs


def execute(services: Services, target: Any, inputs: Any, failures: Failures) -> int:
    """The exit code; a failure is written down in words."""
    counted.install()
    settings = services.settings
    config = RunConfig(services)
    if isinstance(target, WDL.Task):
        services.progress.know(target.name, 1)
    try:
        # The dot: in this folder, not in one named after the time.
        _, outputs = WDL.runtime.run(config, target, inputs, run_dir=f"{services.root}/.")
        write_outputs(settings.output_object, output_object(settings, target, outputs))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return fail(failures, reasons.of_run(error, services.root, services.target, settings.attachments))
    return 0


def fail(failures: Failures, failure: Failure) -> int:
    report(failure.sentence)
    failures.add(failure)
    return 1


def write_outputs(path: Path, outputs: Any, dump: Callable[..., str] = json.dumps) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(dump(outputs, indent=1))
    unfinished.rename(path)

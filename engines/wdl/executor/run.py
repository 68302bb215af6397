"""Runs one workflow to its end."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import WDL
import WDL.runtime

from engines.kit.files import file_url, is_remote, write_json
from engines.kit.reports import Failure, FailureReport, report
from engines.wdl.executor.failure import document_error, run_failure
from engines.wdl.executor.load import WorkflowRejected, load_inputs, load_target
from engines.wdl.executor.miniwdl import RunConfig, WdlRun, install_replacements
from engines.wdl.executor.options import OptionsRejected, with_options
from engines.wdl.executor.settings import WdlContext, WdlSettings

UrlOfPath = Callable[[str], str]


class CannotStart(Exception):
    """The run can't start; the message is for a person."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = Failure(kind=kind, sentence=sentence)


def prepare(context: WdlContext) -> tuple[WdlRun, Any, Any]:
    """What runs, and its inputs; raises `CannotStart`. For the main thread, whose event loop miniwdl reads with."""
    try:
        settings, notes = with_options(context.settings)
    except OptionsRejected as error:
        raise CannotStart("inputs", f"the options are not valid: {error}") from error
    for note in notes:
        report(note)
    try:
        target = load_target(settings)
    except WorkflowRejected as error:
        raise CannotStart("workflow", f"the workflow is not valid: {error}") from error
    except Exception as error:
        sentence = document_error(error, settings.attachments)
        raise CannotStart("workflow", f"the workflow is not valid: {sentence}") from error
    try:
        inputs = load_inputs(settings, target)
    except (WorkflowRejected, WDL.Error.InputError) as error:
        raise CannotStart("inputs", f"the inputs are not valid: {error}") from error
    context = replace(context, settings=settings)
    return WdlRun(context=context, root=settings.new_run_folder(), target=target.name), target, inputs


def execute(run: WdlRun, target: Any, inputs: Any) -> int:
    """The exit code; a failure is written down in words."""
    install_replacements()
    settings = run.context.settings
    config = RunConfig(run)
    if isinstance(target, WDL.Task):
        run.context.progress.expect(target.name, 1)
    try:
        # The dot: in this folder, not in one named after the time.
        _, outputs = WDL.runtime.run(config, target, inputs, run_dir=f"{run.root}/.")
        write_json(settings.output_object, output_object(settings, target, outputs))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads it
        return fail(run.context.failures, run_failure(error, run.root, run.target, settings.attachments))
    return 0


def fail(failures: FailureReport, failure: Failure) -> int:
    """Writes it down; the exit code."""
    report(failure.sentence)
    failures.add(failure)
    return 1


def output_object(settings: WdlSettings, target: Any, bindings: Any) -> dict[str, Any]:
    """The outputs by their full names, `workflow.output` (WDL 1.1, JSON Output Format), in their order."""
    copies = InputCopies(settings)
    order = [output.name for output in target.outputs or ()]
    outputs = sorted(bindings, key=lambda each: (order.index(each.name) if each.name in order else 0, each.name))
    return {f"{target.name}.{each.name}": output_value(each.value, copies.url_of) for each in outputs}


def output_value(value: WDL.Value.Base, url_of: UrlOfPath) -> Any:
    """JSON for a value; `url_of` gives the URL of a path."""
    if isinstance(value, WDL.Value.File | WDL.Value.Directory):
        path = value.value.rstrip("/")
        kind = "Directory" if isinstance(value, WDL.Value.Directory) else "File"
        return {"class": kind, "location": url_of(path), "basename": os.path.basename(path)}  # noqa: PTH119 - or a URL
    if isinstance(value, WDL.Value.Array):
        return [output_value(item, url_of) for item in value.value]
    if isinstance(value, WDL.Value.Pair):
        return {"left": output_value(value.value[0], url_of), "right": output_value(value.value[1], url_of)}
    if isinstance(value, WDL.Value.Map):
        return {key.coerce(WDL.Type.String()).value: output_value(item, url_of) for key, item in value.value}
    if isinstance(value, WDL.Value.Struct):
        return {name: output_value(item, url_of) for name, item in value.value.items()}
    return value.json


class InputCopies:
    """Inputs that are given out as they are, copied to where the run's own files lie, each once."""

    def __init__(self, settings: WdlSettings) -> None:
        self._settings = settings
        self._made: dict[Path, Path] = {}

    def url_of(self, path: str) -> str:
        """Of the file or folder itself where it is the run's or remote, else of a copy."""
        if is_remote(path):
            return path
        real = Path(os.path.realpath(path))
        if real.is_relative_to(self._settings.work.resolve()):
            return file_url(real)
        return file_url(self._copy(real))

    def _copy(self, real: Path) -> Path:
        if real not in self._made:
            copy = self._settings.passed_on / str(len(self._made) + 1) / real.name
            # What an engine that was started here before has copied may be half of it.
            shutil.rmtree(copy.parent, ignore_errors=True)
            copy.parent.mkdir(parents=True)
            if real.is_dir():
                shutil.copytree(real, copy)
            else:
                shutil.copyfile(real, copy)
            self._made[real] = copy
        return self._made[real]

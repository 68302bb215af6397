"""Cromwell's workflow options, as far as they have a meaning here. Nothing here needs miniwdl."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engines.wdl.executor.settings import WdlSettings

LARGEST = 1024**2
"""Bytes."""
STARTS_NOTHING_MORE = "finish"
FAILURE_MODES = ("NoNewCalls", "ContinueWhilePossible")
KNOWN = frozenset({"default_runtime_attributes", "workflow_failure_mode"})
TOLD = {
    "final_workflow_outputs_dir": "outputs stay with the run, and 'wes outputs RUN --download DIR' fetches them",
    "use_relative_output_paths": "outputs stay with the run, and 'wes outputs RUN --download DIR' fetches them",
    "final_workflow_log_dir": "logs stay with the run, and 'wes logs RUN' shows them",
    "final_call_logs_dir": "logs stay with the run, and 'wes logs RUN STEP' shows them",
    "read_from_cache": "the engine parameter 'reuse' says whether steps are taken from earlier runs",
    "write_to_cache": "what a step did is always kept for runs that are resumed or have the engine parameter 'reuse'",
}
"""What else has the effect of an option, as a run can't have it while its engine runs."""


class OptionsRejected(Exception):
    """The options can't be read; the message is for a person."""


def with_options(settings: WdlSettings) -> tuple[WdlSettings, list[str]]:
    """The settings with what the attached options say, and a sentence on each option that has no effect.

    The run's own engine parameters win, where both say something of the same runtime attribute. Raises
    `OptionsRejected`.
    """
    if not settings.options:
        return settings, []
    options = _read(settings.attachments, settings.options)
    defaults, mode = options.get("default_runtime_attributes", {}), options.get("workflow_failure_mode")
    if not isinstance(defaults, Mapping):
        raise OptionsRejected(f"{settings.options}: 'default_runtime_attributes' is not a JSON object")
    if mode is not None and mode not in FAILURE_MODES:
        raise OptionsRejected(
            f"{settings.options}: 'workflow_failure_mode' must be {' or '.join(FAILURE_MODES)}, not {mode!r}"
        )
    changed = replace(
        settings,
        runtime_defaults={**defaults, **settings.runtime_defaults},
        on_error=STARTS_NOTHING_MORE if mode else settings.on_error,
    )
    return changed, _notes(options, settings.options)


def _read(attachments: Path, name: str) -> Mapping[str, Any]:
    path = (attachments / name).resolve()
    if not path.is_relative_to(attachments.resolve()) or not path.is_file():
        raise OptionsRejected(f"the engine parameter 'options' is {name!r}, which is not among the attachments")
    try:
        with path.open("rb") as file:
            options = json.loads(file.read(LARGEST))
    except (ValueError, OSError, RecursionError) as error:
        raise OptionsRejected(f"{name} can't be read as JSON: {error}") from None
    if not isinstance(options, Mapping):
        raise OptionsRejected(f"{name} is not a JSON object")
    return options


def _notes(options: Mapping[str, Any], name: str) -> list[str]:
    notes = [
        f"{name}: '{option}' has no effect here: {TOLD.get(option, 'this engine knows no such option')}"
        for option in options
        if option not in KNOWN
    ]
    if options.get("workflow_failure_mode") == FAILURE_MODES[1]:
        notes.append(f"{name}: '{FAILURE_MODES[1]}' is '{FAILURE_MODES[0]}' here: after a failure nothing more starts")
    return notes

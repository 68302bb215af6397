"""An executor as a program: `python -m engines.NAME.executor SETTINGS` runs one workflow."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from engines.kit.reports import FailureReport, ProgressReport, report
from engines.kit.settings import RunSettings
from engines.kit.tasks import RunningTasks
from engines.kit.tes_client import TesClient

CANCEL_SECONDS = 0.7
"""What an engine has for it before the worker kills it."""
AnySettings = TypeVar("AnySettings", bound=RunSettings)
AnyProgress = TypeVar("AnyProgress", bound=ProgressReport)


@dataclass(frozen=True, kw_only=True)
class RunContext(Generic[AnySettings, AnyProgress]):
    """What every part of an executor gets to know of its run."""

    settings: AnySettings
    tasks: RunningTasks
    failures: FailureReport
    progress: AnyProgress
    started_before: bool = False
    """Whether an engine was started in this folder before, of which steps may be known or go on."""


def execute(
    settings_type: type[AnySettings],
    progress_type: type[AnyProgress],
    run: Callable[[RunContext[AnySettings, AnyProgress]], int],
) -> int:
    """Calls `run` with what the settings file says that the command line names; its result is the exit code.

    From now on SIGTERM and SIGINT cancel the run's tasks and end the process.
    """
    settings = settings_type.read(Path(sys.argv[1]))
    started_before = settings.executor_folder.exists()
    settings.make_folders()
    tasks = RunningTasks(TesClient(settings.tes_url, settings.token_file.read_text().strip()), report)
    stop_on_signals(tasks)
    code = run(
        RunContext(
            settings=settings,
            tasks=tasks,
            failures=FailureReport(settings.failure),
            progress=progress_type(settings.progress),
            started_before=started_before,
        )
    )
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def stop_on_signals(tasks: RunningTasks) -> None:
    """SIGTERM and SIGINT cancel the tasks, and then the process is gone at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        tasks.cancel_all(CANCEL_SECONDS)
        # An engine would wait for its jobs, and threads that wait for the TES would hold up a regular exit.
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

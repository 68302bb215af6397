"""How an executor ends when the worker asks it to: its tasks are canceled, and it is gone at once."""

import os
import signal
from types import FrameType

from .base_settings import BaseSettings
from .report import report
from .tasks import Tasks
from .tes_client import TesClient

CANCEL_SECONDS = 0.7


def tasks_of(settings: BaseSettings) -> Tasks:
    """The run's tasks; SIGTERM and SIGINT cancel them from now on and end the process."""
    tasks = Tasks(TesClient(settings.tes_url, settings.token_file.read_text().strip()), report)
    stop_on_signals(tasks)
    return tasks


def stop_on_signals(tasks: Tasks) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        tasks.cancel_all(CANCEL_SECONDS)
        # An engine would wait for its jobs, and threads that wait for the TES would hold up a regular exit.
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

"""`python -m wes_cwl SETTINGS`: runs one workflow; the settings file is the adapter's."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from .context import Services
from .failure import Failures
from .progress import Progress
from .report import report
from .run import run
from .settings import read_settings
from .tasks import Tasks
from .tes_client import TesClient

CANCEL_SECONDS = 0.7


def main(path: Path) -> int:
    settings = read_settings(path)
    settings.make_folders()
    client = TesClient(settings.tes_url, settings.token_file.read_text().strip())
    tasks = Tasks(client, report)

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        tasks.cancel_all(CANCEL_SECONDS)
        # Threads that still wait for the TES would hold up a regular exit.
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    progress = Progress(settings.progress)
    return run(Services(settings=settings, tasks=tasks, failures=Failures(settings.failure), progress=progress))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.exit(code)

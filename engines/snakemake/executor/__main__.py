"""`python -m engines.snakemake.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from engines.cwl.executor.failure import Failures
from engines.cwl.executor.report import report
from engines.cwl.executor.tasks import Tasks
from engines.cwl.executor.tes_client import TesClient

from .plugin import Services
from .progress import Progress
from .run import run
from .settings import read_settings

CANCEL_SECONDS = 0.7


def main(path: Path) -> int:
    settings = read_settings(path)
    settings.make_folders()
    client = TesClient(settings.tes_url, settings.token_file.read_text().strip())
    tasks = Tasks(client, report)

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        tasks.cancel_all(CANCEL_SECONDS)
        # Snakemake would wait for its jobs, and threads that wait for the TES would hold up a regular exit.
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    failures = Failures(settings.failure)
    return run(Services(settings=settings, tasks=tasks, failures=failures, progress=Progress(settings.progress)))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Whatever a Snakefile left running does not hold it up.
    os._exit(code)

"""`python -m engines.snakemake.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import os
import sys
from pathlib import Path

from engines.cwl.executor.failure import Failures
from engines.cwl.executor.stopping import tasks_of

from .plugin import Services
from .progress import Progress
from .run import run
from .settings import read_settings


def main(path: Path) -> int:
    settings = read_settings(path)
    settings.make_folders()
    tasks = tasks_of(settings)
    failures = Failures(settings.failure)
    return run(Services(settings=settings, tasks=tasks, failures=failures, progress=Progress(settings.progress)))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Whatever a Snakefile left running does not hold it up.
    os._exit(code)

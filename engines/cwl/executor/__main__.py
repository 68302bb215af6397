"""`python -m wes_cwl SETTINGS`: runs one workflow; the settings file is the adapter's."""

import sys
from pathlib import Path

from .context import Services
from .failure import Failures
from .progress import Progress
from .run import run
from .settings import read_settings
from .stopping import tasks_of


def main(path: Path) -> int:
    settings = read_settings(path)
    settings.make_folders()
    tasks = tasks_of(settings)
    progress = Progress(settings.progress)
    return run(Services(settings=settings, tasks=tasks, failures=Failures(settings.failure), progress=progress))


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.exit(code)

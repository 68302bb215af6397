"""`python -m engines.wdl.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from engines.cwl.executor.failure import Failures
from engines.cwl.executor.stopping import stop_on_signals, tasks_of
from engines.cwl.executor.tasks import Tasks
from engines.wdl.executor import no_docker
from engines.wdl.executor.settings import RunSettings, read_settings


def main(path: Path) -> int:
    no_docker.install()
    settings = read_settings(path)
    settings.make_folders()
    tasks = tasks_of(settings)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    return _run(settings, tasks)


def _run(settings: RunSettings, tasks: Tasks) -> int:
    # Not before: the signals come first, as miniwdl takes a while to import.
    from WDL._util import TerminationSignalFlag  # noqa: PLC0415

    from engines.wdl.executor import run  # noqa: PLC0415

    failures = Failures(settings.failure)
    try:
        services, target, inputs = run.prepare(settings, tasks)
    except run.Given as given:
        return run.fail(failures, given.failure)
    codes: list[int] = []
    # In a thread of its own, so that a signal never interrupts what holds a lock.
    worker = threading.Thread(target=lambda: codes.append(run.execute(services, target, inputs, failures)))
    with TerminationSignalFlag(logging.getLogger("miniwdl")):
        _cancel_on_abort(tasks)
        stop_on_signals(tasks)
        worker.start()
        worker.join()
    return codes[0] if codes else 1


def _cancel_on_abort(tasks: Tasks) -> None:
    """When a call fails miniwdl sends itself this signal, to end the others."""
    abort: Any = signal.getsignal(signal.SIGUSR1)

    def cancel(number: int, frame: FrameType | None) -> None:
        abort(number, frame)
        tasks.cancel_all()

    signal.signal(signal.SIGUSR1, cancel)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.exit(code)

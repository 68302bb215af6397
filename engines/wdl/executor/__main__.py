"""`python -m engines.wdl.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import logging
import signal
import sys
import threading
from types import FrameType, ModuleType
from typing import Any

from engines.kit.outputs_on_demand import fetch_when_opened
from engines.kit.program import execute, stop_on_signals
from engines.kit.reports import StepProgress
from engines.kit.tasks import RunningTasks
from engines.wdl.executor.settings import WdlContext, WdlSettings


class BuildError(Exception):
    """Never raised here: images are not built."""


def spare_docker() -> None:
    """Spares the import of Docker's client, of which miniwdl only wants the name of one error."""
    errors = ModuleType("docker.errors")
    errors.BuildError = BuildError  # type: ignore[attr-defined]
    docker = ModuleType("docker")
    docker.errors = errors  # type: ignore[attr-defined]
    sys.modules["docker"], sys.modules["docker.errors"] = docker, errors


def run_workflow(context: WdlContext) -> int:
    """The exit code; a failure is written down in words."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # Not before: the signals come first, as miniwdl takes a while to import.
    from WDL._util import TerminationSignalFlag  # noqa: PLC0415

    from engines.wdl.executor import grammars, run  # noqa: PLC0415

    grammars.use_cache()
    try:
        prepared = run.prepare(context)
    except run.CannotStart as reason:
        return run.fail(context.failures, reason.failure)
    fetch_when_opened(context.tasks.fetch)
    codes: list[int] = []
    # In a thread of its own, so that a signal never interrupts what holds a lock.
    worker = threading.Thread(target=lambda: codes.append(run.execute(*prepared)))
    with TerminationSignalFlag(logging.getLogger("miniwdl")):
        _cancel_on_abort(context.tasks)
        stop_on_signals(context.tasks)
        worker.start()
        worker.join()
    return codes[0] if codes else 1


def _cancel_on_abort(tasks: RunningTasks) -> None:
    """When a call fails miniwdl sends itself this signal, to end the others."""
    abort: Any = signal.getsignal(signal.SIGUSR1)

    def cancel(number: int, frame: FrameType | None) -> None:
        abort(number, frame)
        tasks.cancel_all()

    signal.signal(signal.SIGUSR1, cancel)


if __name__ == "__main__":
    spare_docker()
    sys.exit(execute(WdlSettings, StepProgress, run_workflow))

"""`python -m engines.cwl.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import sys

from engines.cwl.executor.settings import CwlRun, CwlSettings
from engines.cwl.executor.web_clients import spare_web_clients
from engines.kit.program import execute
from engines.kit.reports import StepProgress


def run_workflow(run: CwlRun) -> int:
    """The exit code; a failure is written down in words."""
    # Not before: what cwltool imports is chosen here, and signals are heard before it is there.
    from engines.cwl.executor import run as runner  # noqa: PLC0415

    return runner.run_workflow(run)


if __name__ == "__main__":
    spare_web_clients()
    sys.exit(execute(CwlSettings, StepProgress, run_workflow))

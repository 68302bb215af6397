"""`python -m engines.cwl.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import sys

from engines.cwl.executor.run import run_workflow
from engines.cwl.executor.settings import CwlSettings
from engines.kit.program import execute
from engines.kit.reports import StepProgress

if __name__ == "__main__":
    sys.exit(execute(CwlSettings, StepProgress, run_workflow))

"""`python -m engines.snakemake.executor SETTINGS`: runs one workflow; the settings file is the adapter's."""

import os

from engines.kit.program import execute
from engines.kit.reports import JobProgress
from engines.snakemake.executor.run import run_workflow
from engines.snakemake.executor.settings import SnakemakeSettings

if __name__ == "__main__":
    # Whatever a Snakefile left running does not hold it up.
    os._exit(execute(SnakemakeSettings, JobProgress, run_workflow))

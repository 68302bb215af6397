"""The Snakemake engine: Snakemake with this project's executor (see `executor/`)."""

from typing import Literal

from common.engine import EngineJob, EngineParameter
from common.step_resources import CPU
from engines.python_engine import PythonEngine, common_settings
from engines.snakemake.executor.settings import SnakemakeSettings
from engines.snakemake.recipe import VERSIONS

VERSION_MARK = "{version}"

PARALLEL = EngineParameter(
    name="parallel",
    type="int",
    default="64",
    description="how many jobs of the workflow may be TES tasks at the same time",
    minimum=1,
)
RETRIES = EngineParameter(
    name="retries",
    type="int",
    default="0",
    description="how often a failed job is tried again, where its rule has no retries: of its own",
    minimum=0,
)
LATENCY_WAIT = EngineParameter(
    name="latency_wait",
    type="int",
    default="5",
    description="seconds to wait for an output that a finished task has made but that can't be seen yet",
    minimum=0,
)
ON_ERROR = EngineParameter(
    name="on_error",
    type="string",
    default="stop",
    description="after a failed job: 'stop' cancels what runs, 'continue' runs what does not depend on it",
    choices=("stop", "continue"),
)
TARGETS = EngineParameter(
    name="targets",
    type="string",
    default="",
    description="the rules or files to make, separated by spaces; none: the workflow's first rule or default target",
)
CONDA = EngineParameter(
    name="conda",
    type="boolean",
    default="true",
    description="whether the conda: of a rule without container: is used (its image has to have conda), or ignored",
)
MAX_THREADS = EngineParameter(
    name="max_threads",
    type="int",
    default="0",
    description="the most threads that a job gets, whatever its rule says, as on a small TES; 0: what the rule says",
    minimum=0,
)
NESTED_IMAGE = EngineParameter(
    name="nested_image",
    type="string",
    default=f"docker.io/snakemake/snakemake:v{VERSION_MARK}",
    description=f"the image with Snakemake for run: and conda: rules, and scripts in Python, without a container: of "
    f"their own; {VERSION_MARK} stands for the engine's version",
)


class SnakemakeEngine(PythonEngine):
    """See `Engine`."""

    name = "snakemake"
    aliases: tuple[str, ...] = ("smk",)
    folder_name = "snakemake"
    title = "Snakemake"
    # Snakemake lets its jobs end before it obeys a SIGTERM.
    stop_signal: Literal["SIGTERM", "SIGINT"] = "SIGINT"
    workflow_type = "SMK"
    type_aliases: tuple[str, ...] = ("Snakemake",)
    type_versions: tuple[str, ...] = (*dict.fromkeys(version.partition(".")[0] for version in VERSIONS), "1.0")
    parameters: tuple[EngineParameter, ...] = (
        PARALLEL,
        RETRIES,
        LATENCY_WAIT,
        MAX_THREADS,
        ON_ERROR,
        TARGETS,
        CONDA,
        NESTED_IMAGE,
    )

    def settings(self, job: EngineJob) -> SnakemakeSettings:
        return SnakemakeSettings(
            **common_settings(job, PARALLEL),
            environment=job.installation.environment,
            nested_image=job.value_of(NESTED_IMAGE).replace(VERSION_MARK, job.installation.version),
            targets=job.value_of(TARGETS),
            retries=int(job.value_of(RETRIES)),
            latency_wait=int(job.value_of(LATENCY_WAIT)),
            max_threads=_max_threads(job),
            on_error=job.value_of(ON_ERROR),
            conda=job.value_of(CONDA).casefold() == "true",
        )

    def environment(self, job: EngineJob) -> dict[str, str]:
        # Where the engine's user has no account, Snakemake finds its name here.
        # Arguments for a Snakemake inside a task that come from sets have one order then: it is known by its command.
        return {**super().environment(job), "USER": "run", "PYTHONHASHSEED": "0"}


def _max_threads(job: EngineJob) -> int:
    """As many as its step gets, so that {threads} tells what there is; 0 for any."""
    limits = (int(job.value_of(MAX_THREADS)), int(job.step_limits.get(CPU.name, 0)))
    return min((limit for limit in limits if limit), default=0)

"""The Snakemake engine: Snakemake with this project's executor (see `executor/`)."""

import shlex
from pathlib import Path
from typing import Literal

from common.attachment import safe_name
from common.engine import EngineJob, EngineParameter
from common.errors import EngineError
from common.step_resources import CPU
from engines.python_engine import PythonEngine, common_settings
from engines.snakemake.executor.settings import DEFAULT_LATENCY_WAIT, DEFAULT_PARALLEL, SnakemakeSettings
from engines.snakemake.recipe import VERSIONS

VERSION_MARK = "{version}"

PARALLEL = EngineParameter(
    name="parallel",
    type="int",
    default=str(DEFAULT_PARALLEL),
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
    default=str(DEFAULT_LATENCY_WAIT),
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
PROFILE = EngineParameter(
    name="profile",
    type="string",
    default="",
    description="the profile among the attachments: its folder, or a name in profiles/; none: not even the default one",
)
CONFIGFILES = EngineParameter(
    name="configfiles",
    type="string",
    default="",
    description="attachments with more of the config, separated by spaces, as with snakemake --configfile",
)
SET_RESOURCES = EngineParameter(
    name="set_resources",
    type="string",
    default="",
    description="resources in place of those of rules, as RULE:NAME=VALUE, separated by spaces: align:mem_mb=4000",
)
SET_THREADS = EngineParameter(
    name="set_threads",
    type="string",
    default="",
    description="threads in place of those of rules, as RULE=NUMBER, separated by spaces",
)
DEFAULT_RESOURCES = EngineParameter(
    name="default_resources",
    type="string",
    default="",
    description="resources for rules that do not say, as NAME=VALUE, separated by spaces: mem_mb=2000 runtime=60",
)
SNAKEMAKE_OPTIONS = {
    "set-resources": SET_RESOURCES,
    "set-threads": SET_THREADS,
    "default-resources": DEFAULT_RESOURCES,
}
"""Those that Snakemake reads itself."""
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
        PROFILE,
        CONFIGFILES,
        SET_RESOURCES,
        SET_THREADS,
        DEFAULT_RESOURCES,
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
            profile=job.value_of(PROFILE),
            snakemake_options=_snakemake_options(job),
            configfiles=tuple(_attachment(job, name) for name in _words(job, CONFIGFILES)),
        )

    def environment(self, job: EngineJob) -> dict[str, str]:
        # Where the engine's user has no account, Snakemake finds its name here.
        # Arguments for a Snakemake inside a task that come from sets have one order then: it is known by its command.
        return {**super().environment(job), "USER": "run", "PYTHONHASHSEED": "0"}


def _snakemake_options(job: EngineJob) -> dict[str, list[str]]:
    """Only those that were submitted; `EngineError` for one that can't be read."""
    words = {option: _words(job, parameter) for option, parameter in SNAKEMAKE_OPTIONS.items()}
    return {option: each for option, each in words.items() if each}


def _words(job: EngineJob, parameter: EngineParameter) -> list[str]:
    """Nothing that Snakemake would take for an option of its own."""
    text = job.value_of(parameter)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise EngineError(f"the engine parameter '{parameter.name}' is {text!r}: {error}") from None
    if any(word.startswith("-") for word in words):
        raise EngineError(f"the engine parameter '{parameter.name}' is {text!r}, in which a word begins with '-'")
    return words


def _attachment(job: EngineJob, name: str) -> Path:
    if not (job.folder.attachments / safe_name(name)).is_file():
        raise EngineError(f"the engine parameter 'configfiles' names {name!r}, which is not among the attachments")
    return job.folder.seen.attachments / safe_name(name)


def _max_threads(job: EngineJob) -> int:
    """As many as its step gets, so that {threads} tells what there is; 0 for any."""
    limits = (int(job.value_of(MAX_THREADS)), int(job.step_limits.get(CPU.name, 0)))
    return min((limit for limit in limits if limit), default=0)

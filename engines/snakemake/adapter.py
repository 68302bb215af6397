"""The Snakemake engine: Snakemake with this project's executor (see `executor/`)."""

import json
from collections.abc import Mapping

from common.engine import EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.json_types import Json
from engines.failure_report import diagnosis
from engines.output_object import read_outputs
from engines.snakemake.recipe import MODULE, VERSIONS

SETTINGS = "snakemake.json"
OWN = ".wes"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
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
    description=f"the image with Snakemake for script:, run:, notebook: and wrapper: rules without a container: of "
    f"their own; {VERSION_MARK} stands for the engine's version",
)
NUMBERS = (PARALLEL, RETRIES, LATENCY_WAIT, MAX_THREADS)
TEXTS = (ON_ERROR, TARGETS)


class SnakemakeEngine:
    """See `Engine`."""

    name = "snakemake"
    aliases: tuple[str, ...] = ("smk",)
    folder_name = "snakemake"
    workflow_type = "SMK"
    type_aliases: tuple[str, ...] = ("Snakemake",)
    type_versions: tuple[str, ...] = (*dict.fromkeys(version.partition(".")[0] for version in VERSIONS), "1.0")
    parameters: tuple[EngineParameter, ...] = (*NUMBERS, *TEXTS, CONDA, NESTED_IMAGE)

    def command(self, job: EngineJob) -> EngineCommand:
        environment = job.installation.environment
        return EngineCommand(
            # Isolated: nothing that a user attached is imported by its name.
            argv=(str(environment / "bin" / "python"), "-I", "-m", MODULE, str(job.folder.control / SETTINGS)),
            environment=_environment(job),
            files={SETTINGS: json.dumps(_settings(job), indent=1)},
            # Snakemake lets its jobs end before it obeys a SIGTERM.
            stop_signal="SIGINT",
        )

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder, folder.work / OWN / "outputs.json")

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return diagnosis("Snakemake", folder, end)


def _settings(job: EngineJob) -> dict[str, Json]:
    given = {each.name: job.parameters.get(each.name, each.default) for each in SnakemakeEngine.parameters}
    return {
        "workflow": str(job.workflow),
        "fragment": job.fragment,
        "params": dict(job.params),
        "attachments": str(job.folder.attachments),
        "work": str(job.folder.work),
        "environment": str(job.installation.environment),
        "tes_url": job.tes_url,
        "token_file": str(job.token_file),
        "default_image": job.default_image,
        "nested_image": given[NESTED_IMAGE.name].replace(VERSION_MARK, job.installation.version),
        "conda": given[CONDA.name].casefold() == "true",
        **{each.name: int(given[each.name]) for each in NUMBERS},
        **{each.name: given[each.name] for each in TEXTS},
    }


def _environment(job: EngineJob) -> Mapping[str, str]:
    own = job.folder.work / OWN
    return {
        "PATH": f"{job.installation.environment / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(own / "home"),
        # Where the engine's user has no account, Snakemake finds its name here.
        "USER": "run",
        "TMPDIR": str(own / "tmp"),
        "LANG": "C.UTF-8",
    }

"""The WDL engine: miniwdl with this project's executor (see `executor/`)."""

import json
from collections.abc import Mapping

from common.engine import EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.json_types import Json
from engines.failure_report import diagnosis
from engines.output_object import read_outputs
from engines.wdl.recipe import MODULE

SETTINGS = "wdl.json"
OUTPUTS = "wdl.output.json"
OWN = ".wes"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

PARALLEL = EngineParameter(
    name="parallel",
    type="int",
    default="64",
    description="how many tasks of the workflow may be TES tasks at the same time",
    minimum=1,
)
MAX_RETRIES = EngineParameter(
    name="max_retries",
    type="int",
    default="0",
    description="how often a failed task is tried again whose runtime section has no maxRetries",
    minimum=0,
)
ON_ERROR = EngineParameter(
    name="on_error",
    type="string",
    default="stop",
    description="after a failed task: 'stop' cancels what runs, 'finish' lets it end",
    choices=("stop", "finish"),
)
CHECK_QUANT = EngineParameter(
    name="check_quant",
    type="boolean",
    default="true",
    description="whether a value that may be missing is refused where one is needed; older workflows may need 'false'",
)


class WdlEngine:
    """See `Engine`."""

    name = "miniwdl"
    aliases: tuple[str, ...] = ("wdl", "miniwdl-tes")
    folder_name = "wdl"
    workflow_type = "WDL"
    type_aliases: tuple[str, ...] = ()
    type_versions: tuple[str, ...] = ("draft-2", "1.0", "1.1", "1.2")
    parameters: tuple[EngineParameter, ...] = (PARALLEL, MAX_RETRIES, ON_ERROR, CHECK_QUANT)

    def command(self, job: EngineJob) -> EngineCommand:
        environment = job.installation.environment
        return EngineCommand(
            # Isolated: nothing that a user attached is imported by its name.
            argv=(str(environment / "bin" / "python"), "-I", "-m", MODULE, str(job.folder.control / SETTINGS)),
            environment=_environment(job),
            files={SETTINGS: json.dumps(_settings(job), indent=1)},
        )

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder, folder.work / OUTPUTS)

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return diagnosis("WDL", folder, end)


def _settings(job: EngineJob) -> dict[str, Json]:
    parameters = {each.name: job.parameters.get(each.name, each.default) for each in WdlEngine.parameters}
    return {
        "workflow": str(job.workflow),
        "fragment": job.fragment,
        "params": dict(job.params),
        "attachments": str(job.folder.attachments),
        "work": str(job.folder.work),
        "readable": [str(folder) for folder in job.allowed_data],
        "tes_url": job.tes_url,
        "token_file": str(job.token_file),
        "default_image": job.default_image,
        PARALLEL.name: int(parameters[PARALLEL.name]),
        MAX_RETRIES.name: int(parameters[MAX_RETRIES.name]),
        ON_ERROR.name: parameters[ON_ERROR.name],
        CHECK_QUANT.name: parameters[CHECK_QUANT.name].lower() == "true",
    }


def _environment(job: EngineJob) -> Mapping[str, str]:
    own = job.folder.work / OWN
    return {
        "PATH": f"{job.installation.environment / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(own / "home"),
        "TMPDIR": str(own / "tmp"),
        "LANG": "C.UTF-8",
    }

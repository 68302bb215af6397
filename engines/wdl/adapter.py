"""The WDL engine: miniwdl with this project's executor (see `executor/`)."""

import json

from common.engine import EngineJob, EngineParameter
from common.errors import EngineError
from common.json_types import JsonObject
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
COERCE = EngineParameter(
    name="coerce",
    type="boolean",
    default="false",
    description="whether inputs may be texts where numbers or booleans are wanted and the other way round, as Cromwell "
    "takes them",
)
RUNTIME_DEFAULTS = EngineParameter(
    name="runtime_defaults",
    type="string",
    default="",
    description='what tasks ask for that do not say otherwise, as a JSON object: {"memory": "4 GB", "cpu": 2}',
)
OPTIONS = EngineParameter(
    name="options",
    type="string",
    default="",
    description="an attachment with Cromwell's workflow options: default_runtime_attributes, workflow_failure_mode",
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
    parameters: tuple[EngineParameter, ...] = (
        PARALLEL,
        MAX_RETRIES,
        ON_ERROR,
        CHECK_QUANT,
        COERCE,
        RUNTIME_DEFAULTS,
        OPTIONS,
    )

    def settings(self, job: EngineJob) -> WdlSettings:
        return WdlSettings(
            **common_settings(job, PARALLEL),
            readable=job.allowed_data,
            max_retries=int(job.value_of(MAX_RETRIES)),
            on_error=job.value_of(ON_ERROR),
            check_quant=job.value_of(CHECK_QUANT).lower() == "true",
            coerce=job.value_of(COERCE).lower() == "true",
            runtime_defaults=_json_object(job, RUNTIME_DEFAULTS),
            options=job.value_of(OPTIONS) or None,
        )


def _json_object(job: EngineJob, parameter: EngineParameter) -> JsonObject:
    """Empty where none was submitted."""
    text = job.value_of(parameter)
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise EngineError(f"the engine parameter '{parameter.name}' is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise EngineError(f"the engine parameter '{parameter.name}' is {text[:80]!r}, which is no JSON object")
    return value

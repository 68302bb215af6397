"""The Nextflow engine: Nextflow with this project's executor (see `plugin/`)."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from common.attachment import safe_name
from common.engine import EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.errors import EngineError
from common.json_types import Json
from engines.nextflow.diagnosis import diagnosis
from engines.nextflow.installed_plugins import newest_plugins
from engines.nextflow.launch import (
    MAIN_CLASS,
    PARAMS_FILE,
    config_text,
    environment_of,
    nextflow_arguments,
    nextflow_params,
    reports_config,
    settings_document,
)
from engines.nextflow.outputs import read_outputs
from engines.nextflow.own_installation import active_ga4gh, check_jars_exist, read_record
from engines.nextflow.recipe import ARGUMENTS, java_of, plugins_of

SETTINGS = "nextflow.json"
CONFIG = "nextflow.config"
USER_CONFIG = "user.config"
PROFILES = re.compile(r"[A-Za-z_][\w.-]*(,[A-Za-z_][\w.-]*)*")
ENTRY_NAME = re.compile(r"[A-Za-z_]\w*")

PARALLEL = EngineParameter(
    name="parallel",
    type="int",
    default="100",
    description="how many tasks may be with the TES at the same time",
    minimum=1,
)
PROFILE = EngineParameter(
    name="profile",
    type="string",
    default="",
    description="the profiles of the workflow's config to use, separated by commas",
)
ENTRY = EngineParameter(
    name="entry",
    type="string",
    default="",
    description="the named workflow to run in place of the script's main one",
)
ADDED_CONFIG = EngineParameter(
    name="config",
    type="string",
    default="",
    description="an attachment with more config, which wins over the workflow's own, as with nextflow run -c",
)
ADDED_PARAMS = EngineParameter(
    name="params_file",
    type="string",
    default="",
    description="an attachment with more params, YAML or JSON, as with nextflow run -params-file; workflow_params win",
)
REPORTS = EngineParameter(
    name="reports",
    type="boolean",
    default="false",
    description="give Nextflow's trace, report, timeline and DAG as outputs, below pipeline_info/",
)
STUB = EngineParameter(
    name="stub",
    type="boolean",
    default="false",
    description="run each process's stub in place of its script",
)


class NextflowEngine:
    """See `Engine`."""

    name = "nextflow"
    aliases: tuple[str, ...] = ("nfl",)
    folder_name = "nextflow"
    workflow_type = "NFL"
    type_aliases: tuple[str, ...] = ("Nextflow",)
    type_versions: tuple[str, ...] = ("DSL2", "1.0")
    parameters: tuple[EngineParameter, ...] = (
        PARALLEL,
        PROFILE,
        ENTRY,
        ADDED_CONFIG,
        ADDED_PARAMS,
        REPORTS,
        STUB,
    )

    def command(self, job: EngineJob) -> EngineCommand:
        environment, control = job.installation.environment, job.folder.seen.control
        own = read_record(environment)
        if own:
            check_jars_exist(own)
        plugins, ga4gh = plugins_of(environment, own), active_ga4gh(own)
        arguments = nextflow_arguments(
            script=job.workflow,
            # The last one wins: nothing that was attached undoes what the service needs.
            configs=[*filter(None, [_attached(job, ADDED_CONFIG)]), control / CONFIG],
            params=control / PARAMS_FILE,
            work=job.folder.seen.work,
            options=_options(job),
        )
        return EngineCommand(
            argv=(
                str(java_of(environment)),
                f"@{environment / ARGUMENTS}",
                MAIN_CLASS,
                str(control / SETTINGS),
                *arguments,
            ),
            environment=environment_of(job.folder.seen.work, plugins, ga4gh),
            files={
                SETTINGS: json.dumps(_settings(job, newest_plugins(plugins), ga4gh=ga4gh is not None), indent=1),
                CONFIG: config_text(job.step_limits),
                **({USER_CONFIG: reports_config()} if job.value_of(REPORTS) == "true" else {}),
                PARAMS_FILE: json.dumps(nextflow_params(job.params, job.folder), indent=1),
            },
        )

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder)

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return diagnosis(folder, end)


def _settings(job: EngineJob, plugins: Mapping[str, str], *, ga4gh: bool) -> dict[str, Json]:
    return dict(
        settings_document(
            tes_url=job.tes_url,
            token_file=job.token_file,
            default_image=job.default_image,
            parallel=int(job.value_of(PARALLEL)),
            work=job.folder.seen.work,
            attachments=job.folder.seen.attachments,
            project=job.workflow.parent,
            ga4gh=ga4gh,
            plugins=plugins,
            params_file=_attached(job, ADDED_PARAMS),
            user_config=job.folder.seen.control / USER_CONFIG if job.value_of(REPORTS) == "true" else None,
        )
    )


def _options(job: EngineJob) -> tuple[str, ...]:
    options: list[str] = []
    profile, entry = job.value_of(PROFILE), job.fragment or job.value_of(ENTRY)
    if profile:
        options += ["-profile", _matching(PROFILES, profile, "profile")]
    if entry:
        options += ["-entry", _matching(ENTRY_NAME, entry, "entry")]
    if job.value_of(STUB) == "true":
        options.append("-stub")
    if (job.folder.work / ".nextflow" / "history").exists():
        # Started again in the same folder: what is done is not done again.
        options.append("-resume")
    return tuple(options)


def _attached(job: EngineJob, parameter: EngineParameter) -> Path | None:
    """The attachment that an engine parameter names."""
    name = job.value_of(parameter)
    if not name:
        return None
    if not (job.folder.attachments / safe_name(name)).is_file():
        raise EngineError(f"the engine parameter '{parameter.name}' is {name!r}, which is not among the attachments")
    return job.folder.seen.attachments / safe_name(name)


def _matching(pattern: re.Pattern[str], value: str, name: str) -> str:
    """Nothing that Nextflow would take for an option of its own."""
    if not pattern.fullmatch(value):
        raise EngineError(f"the engine parameter '{name}' is {value!r}, which is no name of a {name}")
    return value

"""Runs one workflow to its end."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from snakemake import resources
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError, get_exception_origin
from snakemake.settings import types
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_executor_plugins.settings import SharedFSUsage

try:
    from snakemake.scheduling import greedy
except ImportError:
    # Snakemake 8
    greedy = None

from engines.kit.files import write_json
from engines.kit.reports import Failure, report
from engines.snakemake.executor import plugin
from engines.snakemake.executor.failure import explained
from engines.snakemake.executor.files import attached_files, mirror, output_object
from engines.snakemake.executor.plugin import ExecutorSettings
from engines.snakemake.executor.profile import SnakemakeOptions, merged_config, run_options, with_options
from engines.snakemake.executor.settings import SnakemakeRun, SnakemakeSettings

PLUGIN = "wes"
SHARED_WITH_TASKS = (SharedFSUsage.INPUT_OUTPUT, SharedFSUsage.SOURCES)
"""What tasks see of this process: the files that are theirs, and the workflow. Nothing that Snakemake keeps itself."""
RESOURCE_OPTIONS = {
    "resources": "resources",
    "overwrite_threads": "set_threads",
    "overwrite_resources": "set_resources",
    "overwrite_scatter": "set_scatter",
    "overwrite_resource_scopes": "set_resource_scopes",
}
"""Fields of `ResourceSettings`, and the options that fill them."""


def run_workflow(run: SnakemakeRun) -> int:
    """The exit code; a failure is written down in words."""
    settings = run.settings
    mirror(settings.attachments, settings.work, attached_files(settings.attachments))
    output = _known_settings(types.OutputSettings, printshellcmds=True, nocolor=True, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        try:
            workflow = _execute(api, run)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a Snakefile is Python, and may raise anything
            _explain(api, run, error)
            return 1
    targets = set(workflow.dag.targetfiles)
    targets |= {file for job in workflow.dag.targetjobs for file in (job.output or job.input)}
    write_json(settings.output_object, output_object(map(str, targets), settings.work))
    return 0


def _execute(api: SnakemakeApi, run: SnakemakeRun) -> Any:
    options = run_options(run.settings)
    settings = with_options(run.settings, options)
    run = replace(run, settings=settings)
    ExecutorPluginRegistry().register_plugin(f"snakemake_executor_plugin_{PLUGIN}", plugin)
    config = merged_config(settings, options)
    settings.config_file.write_text(json.dumps(config))
    workflow_api = api.workflow(
        resource_settings=_known_settings(types.ResourceSettings, **_resource_settings(settings, options)),
        config_settings=types.ConfigSettings(configfiles=[settings.config_file] if config else []),
        storage_settings=types.StorageSettings(shared_fs_usage=frozenset(SHARED_WITH_TASKS)),
        snakefile=settings.workflow,
        workdir=settings.work,
    )
    workflow = workflow_api._workflow  # noqa: SLF001 - only this gives it before it runs
    if not list(workflow.rules):
        raise WorkflowError(f"{settings.workflow.name} has no rule")
    _report_functions(workflow)
    workflow_api.dag(_known_settings(types.DAGSettings, **_dag(settings))).execute_workflow(
        executor=PLUGIN,
        execution_settings=types.ExecutionSettings(
            keep_going=settings.on_error == "continue",
            latency_wait=settings.latency_wait,
            retries=settings.retries,
            lock=False,
            # Only reports and triggers that are not used here would read it.
            keep_metadata=False,
        ),
        remote_execution_settings=_known_settings(types.RemoteExecutionSettings, job_deploy_sources=False),
        # The default one starts a solver, for a machine's cores that are not ours to share out.
        scheduling_settings=types.SchedulingSettings(scheduler="greedy"),
        group_settings=_group_settings(options),
        executor_settings=ExecutorSettings(run=run),
        **_scheduler_settings(),
    )
    return workflow


def _dag(settings: SnakemakeSettings) -> dict[str, Any]:
    return {
        "targets": frozenset(settings.target_names),
        # What an engine that was ended left unfinished is made again.
        "force_incomplete": True,
        "rerun_triggers": frozenset({types.RerunTrigger.MTIME}),
    }


def _scheduler_settings() -> dict[str, Any]:
    """Needed from Snakemake 9 on."""
    settings = getattr(greedy, "SchedulerSettings", None)
    return {"scheduler_settings": settings()} if settings else {}


def _resource_settings(settings: SnakemakeSettings, options: SnakemakeOptions) -> dict[str, Any]:
    given = {field: value for field, name in RESOURCE_OPTIONS.items() if (value := options.get(name))}
    return {
        **given,
        "nodes": settings.parallel,
        "max_threads": settings.max_threads or None,
        "default_resources": _default_resources(options),
    }


def _default_resources(options: SnakemakeOptions) -> Any:
    """Nothing but what the run says, where Snakemake would ask for memory and disk on its own."""
    words = ["tmpdir='/tmp'", *options.default_resources]
    if hasattr(resources, "DefaultResources"):
        return resources.DefaultResources(words, mode="bare")
    return resources.Resources.parse(words, allow_expressions=True, defaults="bare")


def _group_settings(options: SnakemakeOptions) -> types.GroupSettings:
    return types.GroupSettings(
        overwrite_groups=options.get("groups") or {}, group_components=options.get("group_components") or {}
    )


def _known_settings(kind: Callable[..., Any], **values: Any) -> Any:
    """Settings of those values that this version of Snakemake knows."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in known})


def _report_functions(workflow: Any) -> None:
    """Says which rules have functions, as these run here and not in a task."""
    rules = [rule.name for rule in workflow.rules if any(callable(one) for one in (*rule.input, *rule.params))]
    if rules:
        report(f"functions of these rules run inside the engine: {', '.join(rules)}")


def _explain(api: SnakemakeApi, run: SnakemakeRun, error: BaseException) -> None:
    workflow_api = getattr(api, "_workflow_api", None)
    linemaps = getattr(getattr(workflow_api, "_workflow_store", None), "linemaps", None) or {}
    reason = explained(error, linemaps, get_exception_origin)
    run.failures.add(Failure(kind="workflow", sentence=f"the workflow failed: {reason}"))
    try:
        api.print_exception(error)
    except (KeyError, AttributeError):
        # Snakemake stumbles over the position of some errors of its own parser.
        report(reason)

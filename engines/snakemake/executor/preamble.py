"""Scripts of rules as Snakemake itself would run them in a container: its own preamble, and its own command."""

import io
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from inspect import signature
from pathlib import Path
from typing import Any

from snakemake.notebook import JupyterNotebook, PythonJupyterNotebook
from snakemake.script import PythonScript, ScriptBase
from snakemake.utils import format as formatted

from engines.snakemake.executor.rule_script import NOTEBOOK_FOLDER, RuleScript, place_of, strings_in

PACKAGES = (
    *("snakemake", "snakemake_interface_common", "snakemake_interface_logger_plugins"),
    *("snakemake_interface_storage_plugins", "snakemake_interface_executor_plugins"),
    *(
        "argparse_dataclass",
        "configargparse",
        "throttler",
        "yaml",
        "yte",
        "dpath",
        "packaging",
        "humanfriendly",
        "tenacity",
    ),
)
"""What a script may import of Snakemake, and what that needs: packages with no compiled part, or that do without it."""
ARCHIVE_TIME = (1980, 1, 1, 0, 0, 0)
CONTAINER = "container"
"""Any name: a script that knows that it runs in one looks for Snakemake's modules where they are put."""
PAPERMILL = "papermill"


class _ReadyScript(Exception):
    """No error: leaves the rule's function with the script that it would run."""

    def __init__(self, script: ScriptBase) -> None:
        super().__init__()
        self.script = script


def _instead_of_running(script: ScriptBase, edit: Any = None) -> None:
    del edit
    raise _ReadyScript(script)


def rule_script(job: Any, repeat: int | None) -> RuleScript:
    """What this job of a `script:`, `notebook:` or `wrapper:` runs. `repeat`: how often its benchmark ran before.

    Raises what Snakemake raises where a script can't be read.
    """
    script = _script_of(job, repeat)
    content = io.BytesIO()
    script.write_script(script.get_preamble(), content)
    name = script.path.get_filename()
    return RuleScript(
        file=name,
        text=content.getvalue().decode(),
        command=_command(script, place_of(name)),
        programs=_programs(script, place_of(name)),
        in_python=isinstance(script, PythonScript | PythonJupyterNotebook),
        names=strings_in([script.config, *script.params]),
    )


def write_modules(path: Path) -> None:
    """The archive of Snakemake's modules, with the same bytes for the same version."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(_modules()):
            archive.writestr(zipfile.ZipInfo(name, ARCHIVE_TIME), file.read_bytes(), zipfile.ZIP_DEFLATED)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_bytes(content.getvalue())
    unfinished.rename(path)


def _modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        spec = PathFinder.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        folder = origin.parent.parent if spec.submodule_search_locations else origin.parent
        files: Iterable[Path] = origin.parent.rglob("*.py") if spec.submodule_search_locations else [origin]
        yield from ((str(file.relative_to(folder)), file) for file in files)


def _script_of(job: Any, repeat: int | None) -> ScriptBase:
    """The rule's own function is called, as Snakemake calls it in a job, up to where the script would run."""
    ScriptBase.evaluate = _instead_of_running
    cache = job.rule.workflow.sourcecache
    known = {
        "input": job.input._plainstrings(),  # noqa: SLF001 - as Snakemake does it
        "output": job.output._plainstrings(),  # noqa: SLF001
        "log": job.log._plainstrings(),  # noqa: SLF001
        "params": job.params,
        "wildcards": job.wildcards,
        "threads": job.threads,
        "resources": _resources(job),
        "rule": job.rule.name,
        "container_img": CONTAINER,
        "singularity_args": "",
        "use_singularity": True,
        "jobid": job.jobid,
        "is_shell": False,
        "bench_iteration": repeat,
        "cleanup_scripts": True,
        "basedir": job.rule.basedir,
        "sourcecache_path": cache.cache_path,
        "runtime_sourcecache_path": cache.runtime_cache_path,
    }
    parameters = signature(job.rule.run_func).parameters.values()
    try:
        job.rule.run_func(**{each.name: known.get(each.name) for each in parameters if each.default is each.empty})
    except _ReadyScript as ready:
        return ready.script
    raise TypeError(f"the rule {job.rule.name} has no script")


def _resources(job: Any) -> Any:
    """All of them, where the job has left out what only the machine of a task knows."""
    return job.rule.expand_resources(job.wildcards_dict, job.input, job.attempt, skip_evaluation=set())


def _command(script: ScriptBase, file: str) -> str:
    if not isinstance(script, JupyterNotebook):
        return _said(script, file)
    folder = f"export IPYTHONDIR={NOTEBOOK_FOLDER}; mkdir -p {NOTEBOOK_FOLDER}; "
    first, other = (_said(script, file, has_papermill=has) for has in (True, False))
    # Snakemake 8 knows one of them only.
    known = other if first == other else f"if command -v {PAPERMILL} >/dev/null 2>&1; then {first}; else {other}; fi"
    return folder + known


def _programs(script: ScriptBase, file: str) -> tuple[str, ...]:
    said = (_said(script, file, has_papermill=has) for has in (True, False))
    return tuple(dict.fromkeys(command.split()[0] for command in said))


def _said(script: ScriptBase, file: str, *, has_papermill: bool = True) -> str:
    """The command that Snakemake would run the script with."""
    commands: list[str] = []

    def execute(command: str, *, read: bool = False, **values: Any) -> None:
        if read and not has_papermill:
            raise subprocess.CalledProcessError(1, command)
        folder = values.get("additional_envvars", {}).get("IPYTHONDIR")
        said = formatted(command, **values)
        commands.append(said.replace(folder, NOTEBOOK_FOLDER) if folder else said)

    script._execute_cmd = execute  # noqa: SLF001
    script.execute_script(file)
    return commands[-1]

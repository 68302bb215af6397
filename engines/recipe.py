"""What an engine's folder says about how it is installed; `engines.install` does the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Protocol, runtime_checkable

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
PLUGIN_REGISTRY = "https://registry.nextflow.io/api"
Report = Callable[[str], None]
"""Takes one line of progress for a person."""


class Trial(Protocol):
    """Runs a program that is not ours to see what it says: as the user that engines run as, without a network."""

    def __call__(
        self, argv: Sequence[str], *, environment: Mapping[str, str], readable: Sequence[Path]
    ) -> "CompletedProcess[str]":
        """What it printed; it sees the system, `readable`, and a /tmp of its own. `SystemFailure` if it can't run."""


@dataclass(frozen=True, kw_only=True)
class InstallTarget:
    """Where an engine is to be installed.

    `environment`: its own folder, which is empty. `shared`: the folder of all engines, for what several of them use.
    `may_read`: whether the user that engines run as gets to a path. `report`: takes lines of progress. `maven_url`:
    base URL of the Maven repository that jars are fetched from.
    """

    environment: Path
    shared: Path
    may_read: Callable[[Path], bool]
    report: Report
    maven_url: str = MAVEN_CENTRAL


@dataclass(frozen=True, kw_only=True)
class InstalledPlugin:
    """A plugin of an engine: its name and version as the engine's users write them, and its folder."""

    name: str
    version: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class PluginSource:
    """Where plugins come from (`registry_url`), and go to (`engines_folder`)."""

    engines_folder: Path
    report: Report
    registry_url: str = PLUGIN_REGISTRY


class Recipe(Protocol):
    """How one engine is installed; one implementation per folder under `engines/`."""

    engine: str
    """The engine's name, as in `workflow_engine`."""
    folder_name: str
    """As in `wes engines install NAME`."""
    versions: tuple[str, ...]
    """What can be installed, newest first."""

    def lock(self, version: str) -> Path:
        """The file that pins all that this version is made of."""

    def build(self, version: str, site: InstallTarget) -> tuple[Path, ...]:
        """Fills the environment; the further folders that the engine needs to see. `SystemFailure` in words."""

    def refresh(self, environment: Path) -> None:
        """Brings this project's own files in an environment up to date; does nothing where they are."""


@dataclass(frozen=True, kw_only=True)
class EngineBuild:
    """One version of an engine, as this project names it, and how its environment is made."""

    version: str
    build: Callable[[InstallTarget], tuple[Path, ...]]
    """As `Recipe.build`."""


@runtime_checkable
class OwnRecipe(Recipe, Protocol):
    """A recipe of an engine of which the user's own installation may be used instead."""

    def find_own(self, program: Path, place: Path, may_read: Callable[[Path], bool], trial: Trial) -> EngineBuild:
        """What `program` starts; `place` is an empty folder for what the trial needs. `SystemFailure` in words."""


@runtime_checkable
class PluginRecipe(Recipe, Protocol):
    """A recipe of an engine that others write plugins for; what is there is there for all its versions."""

    def plugins(self, engines_folder: Path) -> tuple[InstalledPlugin, ...]:
        """Those that are there."""

    def add_plugin(self, plugin: str, version: str, source: PluginSource) -> InstalledPlugin:
        """One more, by its name or its file, for this version of the engine; returns at once where it is there.

        `SettingsError` and `SystemFailure` in words.
        """

    def remove_plugin(self, plugin: str, engines_folder: Path) -> None:
        """One less; `SettingsError` where it is not there."""

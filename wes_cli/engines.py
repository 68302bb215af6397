"""`wes engines`: installs engines, and lists what is installed."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from common.engine import Installation
from common.errors import SettingsError, WesError
from engines.install import add_plugins, install, install_own, remove_plugins
from engines.recipe import InstalledPlugin, PluginRecipe
from engines.registry import RECIPES, installations
from sandbox.identity import can_reach, foreign_identity
from sandbox.trial import trial_run
from wes_service.settings import Settings, read_settings

app = typer.Typer(
    help="Install workflow engines, each in an environment of its own.", no_args_is_help=True, add_completion=False
)

EnginesFolder = Annotated[
    Path | None,
    typer.Option("--engines", help="Folder of installed engines.", envvar="WES_ENGINES", show_default=False),
]


def complete_name(incomplete: str) -> list[str]:
    """Tab completion: engines that can be installed."""
    return [recipe.folder_name for recipe in RECIPES if recipe.folder_name.startswith(incomplete)]


def complete_version(context: typer.Context, incomplete: str) -> list[str]:
    """Tab completion: versions of the engine that was named."""
    name = context.params.get("name")
    known = [recipe.versions for recipe in RECIPES if recipe.folder_name == name]
    return [version for versions in known for version in versions if version.startswith(incomplete)]


@app.command("install")
def install_command(
    name: Annotated[str, typer.Argument(help="E.g. cwl.", autocompletion=complete_name)],
    version: Annotated[
        str | None, typer.Argument(help="The newest known one by default.", autocompletion=complete_version)
    ] = None,
    engines: EnginesFolder = None,
    own: Annotated[
        Path | None,
        typer.Option(help="Use the engine that you have: its launcher, e.g. of nextflow.", show_default=False),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            help="A plugin of Nextflow to add, by its name (nf-schema@2.5.1) or its zip file; repeatable.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Install an engine, and plugins for it; does nothing where they are installed already."""
    console = Console()
    try:
        settings, report = read_settings(engines=engines), progress(console, name)
        if own is not None:
            installed = adopt_engine(name, own, version, settings, report, plugin)
        else:
            installed = install_engine(name, version, settings, report)
        _say(console, f"{installed.engine} {installed.version} is in {installed.environment}")
        for added in install_plugins(name, plugin or (), installed, settings, report):
            _say(console, f"its plugin {added.name}@{added.version} is in {added.folder}")
    except WesError as error:
        _fail(error)


@app.command("remove-plugin")
def remove_plugin_command(
    name: Annotated[str, typer.Argument(help="E.g. nextflow.", autocompletion=complete_name)],
    plugin: Annotated[list[str], typer.Argument(help="E.g. nf-schema@2.5.1; several at once.")],
    engines: EnginesFolder = None,
) -> None:
    """Remove plugins of an engine; no run that uses them should be going on."""
    try:
        settings = read_settings(engines=engines)
        remove_plugins(name, plugin, settings.engines_folder, progress(Console(), name))
    except WesError as error:
        _fail(error)


@app.command("list")
def list_command(engines: EnginesFolder = None) -> None:
    """List what is installed, with plugins, and what can be."""
    settings = read_settings(engines=engines)
    found = {(each.engine, each.version): each for each in installations(settings.engines_folder)}
    place = Column("installed in", overflow="fold")
    table = Table("name", "engine", "version", place, box=None, pad_edge=False)
    for recipe in RECIPES:
        versions = dict.fromkeys([*recipe.versions, *(version for engine, version in found if engine == recipe.engine)])
        for version in versions:
            there = found.get((recipe.engine, version))
            table.add_row(recipe.folder_name, recipe.engine, version, str(there.environment) if there else "-")
        for each in recipe.plugins(settings.engines_folder) if isinstance(recipe, PluginRecipe) else ():
            table.add_row(recipe.folder_name, f"plugin {each.name}", each.version, str(each.folder))
    Console().print(table)


def install_engine(name: str, version: str | None, settings: Settings, report: Callable[[str], None]) -> Installation:
    """Installs an engine where the settings say, for the user that engines run as."""
    identity = foreign_identity(settings.sandbox_uid)
    return install(
        name,
        version,
        settings.engines_folder,
        report,
        may_read=lambda path: can_reach(identity, path),
        maven_url=settings.maven_url,
    )


def install_plugins(
    name: str, plugins: Sequence[str], installed: Installation, settings: Settings, report: Callable[[str], None]
) -> tuple[InstalledPlugin, ...]:
    """Adds plugins to an engine that is installed."""
    if not plugins:
        return ()
    return add_plugins(
        name, plugins, installed.version, settings.engines_folder, report, registry_url=settings.plugins_url
    )


def adopt_engine(
    name: str,
    program: Path,
    version: str | None,
    settings: Settings,
    report: Callable[[str], None],
    plugins: Sequence[str] | None = None,
) -> Installation:
    """Makes the user's own engine one of the installed ones."""
    if plugins:
        raise SettingsError("your own engine has the plugins that you install with it: leave --plugin out")
    if version is not None:
        raise SettingsError("with --own the version is the one of your own engine: leave it out")
    identity = foreign_identity(settings.sandbox_uid)
    return install_own(
        name,
        program,
        settings.engines_folder,
        report,
        may_read=lambda path: can_reach(identity, path),
        trial=partial(trial_run, identity),
    )


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _fail(error: WesError) -> NoReturn:
    Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    raise typer.Exit(1) from None


def progress(console: Console, name: str) -> Callable[[str], None]:
    """Prints lines of progress."""
    return lambda line: console.print(f"[bold]{escape(name)}[/bold] {escape(line)}", highlight=False, soft_wrap=True)

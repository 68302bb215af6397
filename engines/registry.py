"""The engines that there are, and those that are installed."""

import json
import re
from pathlib import Path

from common.engine import Engine, Installation
from engines.cwl.adapter import CwlEngine
from engines.cwl.recipe import CwlRecipe
from engines.nextflow.adapter import NextflowEngine
from engines.nextflow.recipe import NextflowRecipe
from engines.recipe import Recipe
from engines.snakemake.adapter import SnakemakeEngine
from engines.snakemake.recipe import SnakemakeRecipe
from engines.wdl.adapter import WdlEngine
from engines.wdl.recipe import WdlRecipe

ENGINES: tuple[Engine, ...] = (CwlEngine(), SnakemakeEngine(), NextflowEngine(), WdlEngine())
RECIPES: tuple[Recipe, ...] = (CwlRecipe(), SnakemakeRecipe(), NextflowRecipe(), WdlRecipe())
MARKER = "installation.json"
"""Written last, so that a half install never counts."""


def engine_named(name: str) -> Engine | None:
    """By its name, an alias or its folder's name, in any case."""
    folded = name.casefold()
    for engine in ENGINES:
        if folded in {engine.name.casefold(), engine.folder_name.casefold(), *engine.aliases}:
            return engine
    return None


def engines_for_type(workflow_type: str) -> tuple[Engine, ...]:
    """Those that run this `workflow_type`, in any case; the first is the default."""
    folded = workflow_type.casefold()
    return tuple(
        engine
        for engine in ENGINES
        if folded in {engine.workflow_type.casefold(), *(alias.casefold() for alias in engine.type_aliases)}
    )


def recipe_named(name: str) -> Recipe | None:
    """The recipe of the engine of this name."""
    engine = engine_named(name)
    return next((recipe for recipe in RECIPES if engine and recipe.folder_name == engine.folder_name), None)


def installations(engines_folder: Path) -> tuple[Installation, ...]:
    """What is installed, per engine the newest version first; a half install is not."""
    found = [
        installation
        for engine in ENGINES
        for folder in _folders(engines_folder / engine.folder_name)
        if (installation := installation_in(folder)) is not None
    ]
    return tuple(sorted(found, key=lambda each: (each.engine, _age(each.version))))


def installation_in(folder: Path) -> Installation | None:
    """The installation that a version's folder holds; None where it is not finished."""
    try:
        document = json.loads((folder / MARKER).read_text())
        return Installation(
            engine=str(document["engine"]),
            version=str(document["version"]),
            environment=folder / "environment",
            readable=tuple(Path(path) for path in document["readable"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock_digest(folder: Path) -> str | None:
    """The sha256 of the lock file that a finished installation was made from; None where it does not tell."""
    digest = json.loads((folder / MARKER).read_text()).get("lock")
    return digest if isinstance(digest, str) else None


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _age(version: str) -> tuple[tuple[int, ...], bool]:
    """A user's own (`25.04.4+own`) comes before the same version from here."""
    return tuple(-int(number) for number in re.findall(r"\d+", version)), "+" not in version

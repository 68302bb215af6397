"""A reader finds a concept by its name: what has the same name is the same thing, and a module is worth its file."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PACKAGES = ("wes_cli", "wes_service", "workers", "gateway", "tes_service", "engines", "tes", "sandbox", "common")
FEWEST_LINES = 40
CLIENTS = "one in the gateway, one for executors, whose environments have the standard library only"
SHARED_CLASSES = {
    "Step": "one in each engine's executor",
    "TesClient": CLIENTS,
    "TesRefused": CLIENTS,
    "TesUnreachable": CLIENTS,
}
"""Names that several classes have, and why: they are real counterparts."""
SHORT_MODULES = {
    "engines/cwl/executor/failure.py": "what cwltool says, as each executor has a module of that name",
    "engines/cwl/executor/schemas.py": "a program of its own too, run once at installation",
    "engines/cwl/recipe.py": "one per engine, as the registry finds it",
    "engines/snakemake/recipe.py": "one per engine, as the registry finds it",
    "engines/wdl/recipe.py": "one per engine, as the registry finds it",
}
"""Modules of fewer lines, and why they stand alone."""


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            if path.name not in {"__init__.py", "__main__.py"} and "migrations" not in path.parts:
                yield path


def test_two_classes_of_one_name_are_counterparts() -> None:
    places = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(str(path.relative_to(REPOSITORY)))
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in SHARED_CLASSES} == {}


def test_a_short_module_has_a_reason() -> None:
    lines = {str(path.relative_to(REPOSITORY)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: count for name, count in lines.items() if count < FEWEST_LINES and name not in SHORT_MODULES} == {}

"""The picture in docs/architecture.md is what import-linter enforces, and what its walks name is in the code."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

REPOSITORY = Path(__file__).parents[3]


def test_the_picture_of_the_packages_is_what_is_enforced() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    _, _, rest = text.partition("The packages, each above all that it may import:\n\n```\n")
    picture, _, _ = rest.partition("```")
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = set(settings["root_packages"])
    drawn = [[word for word in line.split("  ") if word.strip() in packages] for line in picture.splitlines()]
    enforced = next(one["layers"] for one in settings["contracts"] if one["name"].startswith("packages:"))
    assert [[word.strip() for word in line] for line in drawn] == [layer.split(" | ") for layer in enforced]
    assert {package for layer in enforced for package in layer.split(" | ")} == packages


def defined(tree: ast.AST, names: list[str]) -> bool:
    """Whether a class or function is there by its qualified name, `Class.method`."""
    first, *rest = names
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.iter_child_nodes(tree) if isinstance(node, kinds) and node.name == first]
    return bool(found) and (not rest or any(defined(node, rest) for node in found))


def test_every_function_that_the_walks_name_is_there() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    _, _, walks = text.partition("## A request, a task and an output through the code\n")
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", walks.partition("\n## ")[0])
    assert named
    missing = [
        f"{file}:{name}"
        for file, name in named
        if not (path := REPOSITORY / file).exists() or not defined(ast.parse(path.read_text()), name.split("."))
    ]
    assert missing == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    graph = grimp.build_graph(*settings["root_packages"], cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    # Raises `CycleError`, which names the circle.
    TopologicalSorter(imports).prepare()

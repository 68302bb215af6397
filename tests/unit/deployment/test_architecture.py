"""The picture in docs/architecture.md is what import-linter enforces."""

import tomllib
from pathlib import Path

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

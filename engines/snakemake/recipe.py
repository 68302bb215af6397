"""How the Snakemake engine is installed: Snakemake from a lock file, and this project's executor beside it."""

from pathlib import Path

from engines.python_engine import PythonRecipe

VERSIONS = ("9.27.1", "8.30.0")


class SnakemakeRecipe(PythonRecipe):
    """See `Recipe`."""

    engine = "snakemake"
    folder_name = "snakemake"
    versions: tuple[str, ...] = VERSIONS

    def lock(self, version: str) -> Path:
        return Path(__file__).with_name(f"lock-{version}.txt")

"""How the Snakemake engine is installed: Snakemake from a lock file, and this project's executor beside it."""

from pathlib import Path

from engines.executor_package import install_package
from engines.python_environment import make_environment
from engines.recipe import Site

VERSIONS = ("9.27.1", "8.30.0")
HERE = Path(__file__).parent
PACKAGE = "engines"
"""As here, so that modules import each other by the same names there."""
MODULE = f"{PACKAGE}.snakemake.executor"
FROM_CWL = ("__init__", "base_settings", "failure", "outcome", "report", "stopping", "tasks", "tes_client")
"""What it shares with the CWL executor; these need nothing but the standard library."""


class SnakemakeRecipe:
    """See `Recipe`."""

    engine = "snakemake"
    folder_name = "snakemake"
    versions: tuple[str, ...] = VERSIONS

    def lock(self, version: str) -> Path:
        return HERE / f"lock-{version}.txt"

    def build(self, version: str, site: Site) -> tuple[Path, ...]:
        return make_environment(site, self.lock(version))

    def refresh(self, environment: Path) -> None:
        install_package(environment, PACKAGE, executor_files())


def executor_files() -> dict[str, Path]:
    """The executor's modules by their place in the package."""
    cwl = HERE.parent / "cwl" / "executor"
    files = {f"cwl/executor/{name}.py": cwl / f"{name}.py" for name in FROM_CWL}
    return files | {f"snakemake/executor/{path.name}": path for path in (HERE / "executor").glob("*.py")}

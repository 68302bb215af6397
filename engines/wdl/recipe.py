"""How the WDL engine is installed: miniwdl from a lock file, and this project's executor beside it."""

from collections.abc import Mapping
from pathlib import Path

import engines
from engines.executor_package import install_package
from engines.python_environment import make_environment, site_packages
from engines.recipe import Site

VERSION = "1.16.0"
LOCK = Path(__file__).with_name("lock.txt")
ROOT = Path(engines.__file__).parent
PACKAGE = "engines"
MODULE = "engines.wdl.executor"
SHARED = (
    "__init__",
    "base_settings",
    "failure",
    "outcome",
    "progress",
    "report",
    "staging",
    "step",
    "stopping",
    "tasks",
    "tes_client",
)
"""The modules of the CWL executor that this one uses too; none of them needs cwltool."""
PLUGIN = "wes_wdl-1.dist-info"
PLUGIN_FILES: Mapping[str, str] = {
    "METADATA": "Metadata-Version: 2.1\nName: wes-wdl\nVersion: 1\n",
    "entry_points.txt": f"[miniwdl.plugin.container_backend]\ntes = {MODULE}.container:TesContainer\n",
}
"""By which miniwdl finds the container backend."""


class WdlRecipe:
    """See `Recipe`."""

    engine = "miniwdl"
    folder_name = "wdl"
    versions: tuple[str, ...] = (VERSION,)

    def lock(self, version: str) -> Path:
        del version  # There is one.
        return LOCK

    def build(self, version: str, site: Site) -> tuple[Path, ...]:
        return make_environment(site, self.lock(version))

    def refresh(self, environment: Path) -> None:
        install_package(environment, PACKAGE, sources())
        _write_plugin(site_packages(environment) / PLUGIN)


def sources() -> dict[str, Path]:
    """What is copied: the path in the package, and the file."""
    own = sorted(ROOT.glob("wdl/executor/*.py"))
    shared = [ROOT / "cwl" / "executor" / f"{name}.py" for name in SHARED]
    packages = [ROOT / "__init__.py", ROOT / "cwl" / "__init__.py", ROOT / "wdl" / "__init__.py"]
    return {str(path.relative_to(ROOT)): path for path in (*packages, *shared, *own)}


def _write_plugin(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o755)
    for name, text in PLUGIN_FILES.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)

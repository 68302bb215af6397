"""What an install of the WDL engine copies into its environment."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from engines.wdl.recipe import PLUGIN, WdlRecipe, sources


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    version = sysconfig.get_python_version()
    (tmp_path / "lib" / f"python{version}" / "site-packages").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3.*/site-packages"))


def test_the_executor_is_copied_with_what_it_shares_and_nothing_else(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    copied = {str(path.relative_to(packages(environment) / "engines")) for path in packages(environment).rglob("*.py")}
    assert copied == set(sources())
    assert "cwl/executor/tes_client.py" in copied
    assert "cwl/executor/job.py" not in copied


def test_the_copied_modules_need_nothing_that_is_not_copied(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    names = "call placement resources settings step"
    script = f"import sys; sys.path[:0] = [{str(packages(environment))!r}]; import importlib\n"
    script += f"for n in '{names}'.split(): importlib.import_module('engines.wdl.executor.' + n)\n"
    script += "import engines; print(engines.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(packages(environment) / "engines" / "__init__.py")


def test_miniwdl_finds_the_container_backend_by_an_entry_point(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    text = (packages(environment) / PLUGIN / "entry_points.txt").read_text()
    assert text.splitlines() == [
        "[miniwdl.plugin.container_backend]",
        "tes = engines.wdl.executor.container:TesContainer",
    ]


def test_a_refresh_does_nothing_where_all_is_current(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    marker = packages(environment) / "engines" / "wdl" / "marker"
    marker.touch()
    WdlRecipe().refresh(environment)
    assert marker.exists()
    (packages(environment) / "engines" / "DIGEST").write_text("another")
    WdlRecipe().refresh(environment)
    assert not marker.exists()
    assert [path.name for path in packages(environment).iterdir() if path.name.startswith(".")] == []


def test_all_that_is_copied_can_be_read_by_all(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    for name in ("engines", PLUGIN):
        for path in [packages(environment) / name, *(packages(environment) / name).rglob("*.py")]:
            assert path.stat().st_mode & 0o004, path

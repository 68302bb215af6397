"""What is installed into the environments of engines that are Python programs."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from engines import python_engine
from engines.cwl.recipe import CwlRecipe
from engines.python_engine import PythonRecipe, executor_sources
from engines.snakemake.recipe import SnakemakeRecipe
from engines.wdl.recipe import WdlRecipe

RECIPES: tuple[PythonRecipe, ...] = (CwlRecipe(), SnakemakeRecipe(), WdlRecipe())
WITHOUT_THE_ENGINE = {
    "cwl": "extensions failure folders settings step web_clients",
    "snakemake": "failure files job script settings step",
    "wdl": "localization options runtime settings step",
}
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.folder_name)


@pytest.fixture
def environment(open_tmp: Path) -> Path:
    (open_tmp / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages").mkdir(parents=True)
    (open_tmp / "bin").mkdir()
    python = open_tmp / "bin" / "python"
    # Says what it was asked, as what a schema cache is made of.
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    return open_tmp


def packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3.*/site-packages"))


@each_recipe
def test_the_lock_file_holds_the_versions_that_are_offered_and_a_hash_of_each_package(recipe: PythonRecipe) -> None:
    for version in recipe.versions:
        text = recipe.lock(version).read_text()
        assert f"\n{recipe.engine}=={version} " in text
        names = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]
        assert len(names) > 20
        assert all(name.endswith("\\") for name in names)


@each_recipe
def test_kit_and_executor_are_installed_whole_and_can_be_read_by_all(recipe: PythonRecipe, environment: Path) -> None:
    recipe.refresh(environment)
    package = packages(environment) / "engines"
    installed = {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*.py")}
    assert installed == {path: source.read_bytes() for path, source in executor_sources(recipe.folder_name).items()}
    assert {"kit/tes_client.py", f"{recipe.folder_name}/executor/__main__.py"} <= installed.keys()
    others = {each.folder_name for each in RECIPES} - {recipe.folder_name}
    assert others.isdisjoint(path.partition("/")[0] for path in installed)
    everything = [path for folder in packages(environment).iterdir() for path in (folder, *folder.rglob("*"))]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in everything)
    assert all(path.stat().st_mode & 0o011 == 0o011 for path in everything if path.is_dir())


@each_recipe
def test_what_does_not_need_the_engine_needs_nothing_that_is_not_installed(
    recipe: PythonRecipe, environment: Path
) -> None:
    recipe.refresh(environment)
    names = [f"engines.{recipe.folder_name}.executor.{name}" for name in WITHOUT_THE_ENGINE[recipe.folder_name].split()]
    names += [f"engines.kit.{path.stem}" for path in (packages(environment) / "engines" / "kit").glob("*.py")]
    script = f"import sys; sys.path[:0] = [{str(packages(environment))!r}]; import importlib\n"
    script += f"for name in {names!r}: importlib.import_module(name)\n"
    script += "import engines; print(engines.__file__)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(packages(environment) / "engines" / "__init__.py")


@each_recipe
def test_nothing_happens_where_all_is_current(recipe: PythonRecipe, environment: Path) -> None:
    recipe.refresh(environment)
    marker = packages(environment) / "engines" / "marker"
    marker.touch()
    recipe.refresh(environment)
    assert marker.exists()


@each_recipe
def test_an_old_executor_is_replaced_as_a_whole(recipe: PythonRecipe, environment: Path) -> None:
    recipe.refresh(environment)
    digest = packages(environment) / "engines" / "DIGEST"
    current = digest.read_text()
    digest.write_text("old")
    (digest.parent / "gone.py").touch()
    recipe.refresh(environment)
    assert not (digest.parent / "gone.py").exists()
    assert digest.read_text() == current
    found = sorted(path.name for path in packages(environment).iterdir())
    assert found == ["engines", f"wes_{recipe.folder_name}-1.dist-info"]


def test_a_change_of_any_module_is_noticed(environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("__init__.py", "kit/__init__.py", "kit/a.py", "x/__init__.py", "x/executor/deep/b.py"):
        (tmp_path / "source" / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / module).write_text("a = 1\n")
    monkeypatch.setattr(python_engine, "SOURCES", tmp_path / "source")
    assert python_engine.install_executor(environment, "x")
    assert not python_engine.install_executor(environment, "x")
    for module in ("kit/a.py", "x/executor/deep/b.py"):
        (tmp_path / "source" / module).write_text("a = 2\n")
        assert python_engine.install_executor(environment, "x")
        assert (packages(environment) / "engines" / module).read_text() == "a = 2\n"
    assert python_engine.install_executor(environment, "x", "[group]\n")


def test_miniwdl_finds_the_container_backend_by_an_entry_point(environment: Path) -> None:
    WdlRecipe().refresh(environment)
    text = (packages(environment) / "wes_wdl-1.dist-info" / "entry_points.txt").read_text()
    assert text.splitlines() == [
        "[miniwdl.plugin.container_backend]",
        "tes = engines.wdl.executor.container:TesContainer",
    ]


@pytest.mark.parametrize(("recipe", "name"), [(CwlRecipe(), "schemas"), (WdlRecipe(), "grammars")])
def test_what_an_engine_starts_with_is_what_the_environments_python_makes(
    recipe: PythonRecipe, name: str, environment: Path
) -> None:
    recipe.refresh(environment)
    cache = packages(environment) / f"engines/{recipe.folder_name}/executor/{name}.pickle"
    assert cache.read_text() == f"-I -m engines.{recipe.folder_name}.executor.{name}\n"
    cache.write_text("kept")
    recipe.refresh(environment)
    assert cache.read_text() == "kept"


def test_the_executor_is_usable_where_no_schema_cache_can_be_made(environment: Path) -> None:
    (environment / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    CwlRecipe().refresh(environment)
    package = packages(environment) / "engines"
    assert not (package / "cwl/executor/schemas.pickle").exists()
    assert (package / "DIGEST").exists()

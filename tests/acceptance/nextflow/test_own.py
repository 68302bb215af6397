"""A Nextflow that the user has already: here a launcher around the jars that the recipe fetches."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from common.engine import Installation
from engines.install import install_own
from sandbox.identity import can_reach, foreign_identity
from sandbox.trial import trial_run
from tests.acceptance.conftest import StartWes
from tests.acceptance.nextflow.running import Nextflow
from tests.engine_fixtures import SANDBOX_UID

LAUNCHER = """\
#!/bin/sh
# A launcher that starts the Java on the path, as others do.
exec java --add-opens=java.base/java.time=ALL-UNNAMED -cp "$NXF_HOME/jars/*" nextflow.cli.Launcher "$@"
"""
FIVE = """\
process ONE { input: val x
  output: path 'one.txt'
  script: "echo $x > one.txt" }
process TWO { input: path x
  output: path 'two.txt'
  script: "tr a-z A-Z < $x > two.txt" }
process ALL { publishDir 'results'
  input: path 'in?.txt'
  output: path 'all.txt'
  script: "cat in?.txt | sort > all.txt" }
workflow { ONE(channel.of('a', 'b')) | TWO | collect | ALL
  println 'SECRET ' + new File(params.secret).exists() }
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wes-own-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def home(place: Path, nextflow_installation: Installation) -> Path:
    """The user's Nextflow folder, with a plugin named nf-ga4gh that is none."""
    folder = place / "home"
    (folder / "jars").mkdir(parents=True)
    for jar in (nextflow_installation.environment / "jars").glob("*.jar"):
        if not jar.name.startswith("wes-"):
            shutil.copy(jar, folder / "jars" / jar.name)
    (folder / "plugins" / "nf-ga4gh-0.0.1").mkdir(parents=True)
    (folder / "scm").write_text("a password of the user")
    (folder / "nextflow").write_text(LAUNCHER)
    (folder / "nextflow").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def own(place: Path, home: Path, said: list[str]) -> Installation:
    identity = foreign_identity(SANDBOX_UID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NXF_HOME", str(home))
        return install_own(
            "nextflow",
            home / "nextflow",
            place / "engines",
            said.append,
            may_read=lambda path: can_reach(identity, path),
            trial=partial(trial_run, identity),
        )


def test_its_version_is_told_by_itself_and_a_plugin_that_does_not_work_is_not_used(
    own: Installation, home: Path, said: list[str]
) -> None:
    assert own.version == "25.04.4+own"
    assert set(own.readable) >= {home / "jars", home / "plugins"}
    assert home not in own.readable
    assert any("its nf-ga4gh 0.0.1 does not work with it" in line for line in said)
    arguments = (own.environment / "java.args").read_text()
    assert '"--add-opens=java.base/java.time=ALL-UNNAMED"' in arguments
    assert (own.environment / "nextflow.jsa").stat().st_uid == os.geteuid()


def test_a_run_of_five_steps_goes_through_the_gateway_in_the_sandbox(
    own: Installation, home: Path, start_wes: StartWes
) -> None:
    nextflow = Nextflow(wes=start_wes(engines=own.environment.parents[2])).wait_until_listed()
    assert nextflow.wes.get("/service-info")["workflow_engine_versions"]["nextflow"]["workflow_engine_version"] == [
        "25.04.4+own"
    ]
    ended = nextflow.complete(
        FIVE, params={"secret": str(home / "scm")}, workflow_engine_version="25.04.4+own", workflow_engine="nextflow"
    )
    assert ended.text("all.txt") == "A\nB\n"
    assert ended.names() == ["ALL", "ONE (1)", "ONE (2)", "TWO (1)", "TWO (2)"]
    assert "SECRET false" in ended.stdout

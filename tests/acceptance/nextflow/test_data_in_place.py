"""Data that the server reads where they lie: `wes up --allow-data`."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import started_wes
from tests.acceptance.nextflow.running import Nextflow
from tests.acceptance.stack import embedded_only

COUNT = """\
process COUNT { publishDir 'results'
  input: path reads
  output: path 'counted.txt'
  script: "wc -l < $reads > counted.txt" }
process NAMES { publishDir 'results'
  input: path folder
  output: path 'names.txt'
  script: "ls $folder > names.txt" }
workflow {
  println "engine reads ${file(params.reads, checkIfExists: true).text.readLines().size()} lines"
  COUNT(file(params.reads))
  NAMES(file(params.shelf))
}
"""
SPOIL = """\
process SPOIL { input: path reads
  output: stdout
  script: "echo more >> $reads && echo spoiled || echo kept" }
workflow { SPOIL(file(params.reads)) | view }
"""


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wes-shelf-", dir="/var/tmp"))
    (folder / "reads").mkdir()
    for name in ("a b.fq", "c.fq"):
        (folder / "reads" / name).write_text("1\n2\n3\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o666)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nextflow(nextflow_installation: object, shelf: Path) -> Iterator[Nextflow]:
    """In a service that may read the folder `reads` of the shelf, and nothing beside it."""
    with started_wes("--allow-data", str(shelf / "reads")) as wes:
        yield Nextflow(wes=wes).wait_until_listed()


def test_files_and_folders_are_read_in_place(nextflow: Nextflow, shelf: Path) -> None:
    reads = shelf / "reads" / "a b.fq"
    for given in (str(reads), {"class": "File", "location": reads.as_uri()}):
        ended = nextflow.complete(COUNT, params={"reads": given, "shelf": str(reads.parent)})
        assert "engine reads 3 lines" in ended.stdout
        assert ended.text("counted.txt").strip() == "3"
        assert ended.text("names.txt").split("\n")[:2] == ["a b.fq", "c.fq"]


# Funnel links local inputs into its tasks, where they can be written.
@embedded_only
def test_a_task_can_not_write_to_them(nextflow: Nextflow, shelf: Path) -> None:
    reads = shelf / "reads" / "c.fq"
    assert "kept" in nextflow.complete(SPOIL, params={"reads": str(reads)}).stdout
    assert reads.read_text() == "1\n2\n3\n"


def test_what_is_beside_the_allowed_folder_is_not_seen(nextflow: Nextflow, shelf: Path) -> None:
    (shelf / "closed.fq").write_text("1\n")
    for given in (str(shelf / "closed.fq"), str(shelf / "reads" / ".." / "closed.fq")):
        ended = nextflow.run(COUNT, params={"reads": given, "shelf": str(shelf / "reads")})
        assert ended.state == "EXECUTOR_ERROR", json.dumps(ended.log)
        assert "closed.fq" in ended.reason
        assert ended.tasks == ()

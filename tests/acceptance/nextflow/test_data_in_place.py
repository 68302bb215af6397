"""Data that the server reads where they lie: `wes up --allow-data`."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import started_wes
from tests.acceptance.nextflow.running import Ended, Nextflow
from tests.acceptance.stack import embedded_only

COUNT = """\
process COUNT { publishDir 'results'
  input: path reads
  output: path 'counted_*'
  script: "wc -l < $reads > counted_$reads" }
process NAMES { publishDir 'results'
  input: path folder
  output: path 'names.txt'
  script: "ls $folder > names.txt" }
process SPOIL { input: path reads
  output: stdout
  script: "echo more >> $reads && echo spoiled || echo kept" }
workflow {
  println "engine reads ${file(params.reads, checkIfExists: true).text.readLines().size()} lines"
  COUNT(channel.of(file(params.reads), file(params.same_kind)))
  NAMES(file(params.shelf))
  SPOIL(file(params.same_kind)) | view
}
"""
CLOSED = """\
process NEVER { input: path reads
  script: "cat $reads" }
workflow {
  println params.closed.collect { given -> file(given).exists() ? 'seen' : 'not seen' }.join(', ')
  NEVER(file(params.closed[0], checkIfExists: true))
}
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


@pytest.fixture(scope="module")
def counted(nextflow: Nextflow, shelf: Path) -> Ended:
    """A run that reads one file by its path, and another by its URL."""
    reads = shelf / "reads"
    by_url = {"class": "File", "location": (reads / "c.fq").as_uri()}
    return nextflow.complete(COUNT, params={"reads": str(reads / "a b.fq"), "same_kind": by_url, "shelf": str(reads)})


def test_files_and_folders_are_read_in_place(counted: Ended) -> None:
    assert "engine reads 3 lines" in counted.stdout
    assert counted.text("counted_a b.fq").strip() == "3"
    assert counted.text("counted_c.fq").strip() == "3"
    assert counted.text("names.txt").split("\n")[:2] == ["a b.fq", "c.fq"]


# Funnel links local inputs into its tasks, where they can be written.
@embedded_only
def test_a_task_can_not_write_to_them(counted: Ended, shelf: Path) -> None:
    assert "kept" in counted.stdout
    assert (shelf / "reads" / "c.fq").read_text() == "1\n2\n3\n"


def test_what_is_beside_the_allowed_folder_is_not_seen(nextflow: Nextflow, shelf: Path) -> None:
    (shelf / "closed.fq").write_text("1\n")
    closed = [str(shelf / "closed.fq"), str(shelf / "reads" / ".." / "closed.fq")]
    ended = nextflow.run(CLOSED, params={"closed": closed})
    assert ended.state == "EXECUTOR_ERROR", json.dumps(ended.log)
    assert "not seen, not seen" in ended.stdout
    assert "closed.fq" in ended.reason
    assert ended.tasks == ()

"""The example that sends tasks to the data; the acceptance tests run it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.s3_fixture import S3Server

PROGRAM = Path(__file__).parents[3] / "examples" / "two-sites" / "two_sites.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_sites", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_store(folder: Path, name: str, content: bytes) -> S3Server:
    file = folder / name / "data" / name / "reads" / "a.fastq.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (folder / name / "access.log").touch()
    return S3Server(folder=folder / name, port=1, bucket=name)


@pytest.mark.parametrize(("between", "code"), [(b"reads", 1), (b"counts", 0)])
def test_reads_that_left_the_hospital_fail_it(example: ModuleType, tmp_path: Path, between: bytes, code: int) -> None:
    hospital, exchange = a_store(tmp_path, "hospital", b"reads"), a_store(tmp_path, "exchange", between)
    assert example.tell_what_moved(hospital, exchange) == code

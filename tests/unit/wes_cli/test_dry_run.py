"""`wes run --dry-run`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.wes_server import FakeWes
from tests.unit.wes_cli.conftest import Wes


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A pipeline with a module, a config, reads that a sheet names, and a note that nothing names."""
    for name, text in {
        "main.nf": "include { A } from './modules/a'\nparams.sheet = 'samples.csv'",
        "modules/a.nf": "process A {}",
        "nextflow.config": "",
        "samples.csv": "sample,reads\nA,data/a.fq\n",
        "data/a.fq": "ACGT",
        "more.csv": "x,b.fq",
        "b.fq": "AC",
        "note.txt": "?",
        "params.yml": "more: more.csv",
    }.items():
        (tmp_path / "flow" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "flow" / name).write_text(text)
    return tmp_path / "flow"


def dry_run(wes: Wes, *arguments: object) -> dict[str, Any]:
    result = wes("run", *arguments, "--dry-run", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    return {**document, "exit": result.exit_code}


def test_each_file_is_listed_with_why_it_belongs_to_the_workflow(server: FakeWes, wes: Wes, flow: Path) -> None:
    server.types = {"NFL": ["DSL2"]}
    found = dry_run(wes, flow / "main.nf", "-p", flow / "params.yml", "-a", flow / "note.txt", "--tag", "a=b")
    assert {one["name"]: one["reason"] for one in found["files"]} == {
        "main.nf": "the workflow",
        "modules/a.nf": "named by main.nf",
        "nextflow.config": "the engine reads it",
        "samples.csv": "named by main.nf",
        "data/a.fq": "named by samples.csv",
        "more.csv": "named by params.yml",
        "b.fq": "named by more.csv",
        "note.txt": "--attach",
    }
    assert found["bytes"] == sum(one["size"] for one in found["files"]) > 0
    assert (found["workflow_type"], found["workflow_type_version"], found["tags"]) == ("NFL", "DSL2", {"a": "b"})
    assert (found["exit"], server.submissions) == (0, [])


def test_a_person_reads_it_as_a_table(server: FakeWes, wes: Wes, flow: Path) -> None:
    server.types = {"NFL": ["DSL2"]}
    result = wes("run", flow / "main.nf", "-n", "--set", "A.cpu=2")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["modules/a.nf", "12", "B", "named", "by", "main.nf"] in lines
    assert "nothing was sent" in result.stdout
    assert server.submissions == []


def test_what_is_missing_and_what_would_run_it_are_told(server: FakeWes, wes: Wes, tmp_path: Path) -> None:
    tool = {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": {"reads": "File"}, "outputs": {}}
    (tmp_path / "wf.cwl").write_text(json.dumps(tool))
    server.types = {"CWL": ["v1.2"]}
    found = dry_run(wes, tmp_path / "wf.cwl")
    assert (found["engine"], found["engine_version"]) == ("cwltool", "3.3")
    assert (found["missing"], found["exit"]) == (["reads (File)"], 2)


def test_a_server_that_does_not_take_it_or_does_not_answer_is_told(server: FakeWes, wes: Wes, flow: Path) -> None:
    server.types = {"CWL": ["v1.2"]}
    found = dry_run(wes, flow / "main.nf", "--type-version", "DSL2")
    assert (found["problems"], found["exit"]) == (["the server runs no NFL; it lists CWL"], 2)
    found = dry_run(wes, flow / "main.nf", "--server", "http://127.0.0.1:9")
    assert len(found["files"]) == 5
    assert found["exit"] == 2
    assert "127.0.0.1:9" in found["problems"][0]


def test_json_is_for_a_dry_run_only(server: FakeWes, wes: Wes, flow: Path) -> None:
    result = wes("run", flow / "main.nf", "--json")
    assert (result.exit_code, server.submissions) == (2, [])

from pathlib import Path

import pytest

from common.json_types import JsonObject
from wes_cli.cwl_objects import absolute_files, job_parser, read_inputs
from wes_cli.errors import InvalidArgument

INPUTS: JsonObject = {
    "reads": {"type": "File", "doc": "100 % of the reads"},
    "count": "int?",
    "ratio": ["null", "double"],
    "words": "string[]",
    "dirs": {"type": {"type": "array", "items": "Directory"}},
    "fast": "boolean",
    "mode": {"type": {"type": "enum", "symbols": ["a", "file#x/b"]}},
    "union": ["int", "string"],
    "record": {"type": {"type": "record", "fields": []}},
}


def parsed(*argv: str) -> dict[str, object]:
    values = vars(job_parser(INPUTS, "test").parse_args(argv))
    return {name: value for name, value in values.items() if value is not None}


def test_options_become_values_of_the_inputs_types() -> None:
    assert parsed("--count", "3", "--ratio", "0.5", "--fast", "--mode", "b") == {
        "count": 3,
        "ratio": 0.5,
        "fast": True,
        "mode": "b",
    }


def test_an_array_is_written_by_repeating_its_option() -> None:
    assert parsed("--words", "a", "--words", "b") == {"words": ["a", "b"]}


def test_files_become_objects_with_absolute_locations() -> None:
    assert parsed("--reads", "/data/a b#1.fq", "--dirs", "/d") == {
        "reads": {"class": "File", "location": "file:///data/a%20b%231.fq"},
        "dirs": [{"class": "Directory", "location": "file:///d"}],
    }
    assert parsed("--reads", "https://host/a.fq") == {"reads": {"class": "File", "location": "https://host/a.fq"}}


def test_a_job_file_may_come_with_options() -> None:
    assert parsed("job.yml", "--count", "3") == {"job_order": Path("job.yml"), "count": 3}


@pytest.mark.parametrize("name", ["union", "record", "nothing"])
def test_there_is_no_option_for_what_can_t_be_written_as_one(name: str) -> None:
    with pytest.raises(SystemExit):
        parsed(f"--{name}", "1")


def test_inputs_are_read_from_either_form_and_from_the_named_process(tmp_path: Path) -> None:
    document = tmp_path / "a.cwl"
    document.write_text("{class: CommandLineTool, inputs: [{id: '#a', type: int}]}")
    assert read_inputs(document, "") == {"a": {"id": "#a", "type": "int"}}
    document.write_text("{$graph: [{id: main, inputs: {a: int}}, {id: '#other', inputs: {b: int}}]}")
    assert read_inputs(document, "") == {"a": "int"}
    assert read_inputs(document, "other") == {"b": "int"}
    with pytest.raises(InvalidArgument, match="holds no CWL process named none"):
        read_inputs(document, "none")


def test_relative_files_of_a_job_are_meant_from_a_folder() -> None:
    job: JsonObject = {
        "a": {"class": "File", "path": "x#1"},
        "b": [{"class": "Directory", "location": "https://host/d"}],
        "n": 1,
    }
    assert absolute_files(job, Path("/base")) == {
        "a": {"class": "File", "location": "file:///base/x%231"},
        "b": [{"class": "Directory", "location": "https://host/d"}],
        "n": 1,
    }

from pathlib import Path

import pytest

from common.json_types import Json, JsonObject
from wes_cli.cwl_objects import absolute_files, job_parser, local_outputs, read_inputs
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


OUT = Path("/out dir")


def file(name: str, **more: Json) -> JsonObject:
    return {"class": "File", "location": f"http://wes/o/{name}", "basename": name, **more}


def folder(name: str, *listing: Json) -> JsonObject:
    return {"class": "Directory", "location": f"http://wes/o/{name}", "basename": name, "listing": listing}


def at(name: str, **more: Json) -> JsonObject:
    place = {"location": f"file:///out%20dir/{name}", "path": f"/out dir/{name}", "basename": Path(name).name}
    return {"class": "File", **place, **more}


def test_a_file_is_placed_by_its_name_and_told_without_our_own_fields() -> None:
    given = file("a.txt", size=3, checksum="sha1$ab", sha256="cd", mediaType="text/plain", format="edam:1")
    result = local_outputs({"a": given}, OUT)
    assert result.document == {"a": at("a.txt", size=3, checksum="sha1$ab", format="edam:1")}
    [fetched] = result.files
    assert (str(fetched.path), fetched.url, fetched.size) == ("a.txt", "http://wes/o/a.txt", 3)
    assert dict(fetched.sums) == {"sha1": "ab", "sha256": "cd"}


def test_secondary_files_lie_beside_their_file() -> None:
    result = local_outputs({"a": file("a.bam", secondaryFiles=[file("a.bai")])}, OUT)
    assert result.document == {"a": at("a.bam", secondaryFiles=[at("a.bai")])}
    assert [str(each.path) for each in result.files] == ["a.bam", "a.bai"]


def test_folders_are_made_also_empty_ones_and_keep_what_is_in_them() -> None:
    result = local_outputs({"d": folder("d", file("x"), folder("e"))}, OUT)
    assert [str(each.path) for each in result.files] == ["d/x"]
    assert result.folders == [OUT, OUT / "d", OUT / "d/e"]


def test_files_of_one_name_get_a_number_before_the_ending() -> None:
    result = local_outputs({"all": [file("n.txt", checksum=f"sha1${n}") for n in (1, 2, 3)]}, OUT)
    assert [str(each.path) for each in result.files] == ["n.txt", "n_2.txt", "n_3.txt"]


def test_one_file_in_two_outputs_is_one_file() -> None:
    result = local_outputs({"a": file("n.txt", checksum="sha1$1"), "b": [file("n.txt", checksum="sha1$1")]}, OUT)
    assert [str(each.path) for each in result.files] == ["n.txt"]
    assert result.document == {"a": at("n.txt", checksum="sha1$1"), "b": [at("n.txt", checksum="sha1$1")]}


def test_what_is_no_file_stays_as_it_is() -> None:
    outputs: JsonObject = {"n": 1, "none": None, "text": "http://not/a/file", "record": {"class": "Other", "x": [1]}}
    result = local_outputs(outputs, OUT)
    assert (result.document, list(result.files)) == (outputs, [])


def test_no_name_leads_out_of_the_folder() -> None:
    result = local_outputs({"a": file("../../etc/passwd"), "b": folder("..")}, OUT)
    assert [str(each.path) for each in result.files] == [".._.._etc_passwd"]
    assert result.folders == [OUT, OUT / "output"]

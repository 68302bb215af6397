import pytest

from common.json_types import Json
from wes_service.languages.references import (
    default_of,
    references,
    secondary_name,
    secondary_patterns,
    with_locations,
)


def targets(document: Json) -> list[tuple[str, str]]:
    return [(reference.kind, reference.target) for reference in references(document)]


def test_a_step_refers_to_its_tool() -> None:
    document: Json = {"steps": {"a": {"run": "tools/a.cwl", "in": {}, "out": []}}}
    assert targets(document) == [("document", "tools/a.cwl")]


def test_a_step_in_a_list_refers_to_its_tool_without_the_fragment() -> None:
    document: Json = {"steps": [{"id": "a", "run": "packed.cwl#tool", "in": [], "out": []}]}
    assert targets(document) == [("document", "packed.cwl")]


def test_a_process_of_the_same_document_is_no_file() -> None:
    assert targets({"steps": {"a": {"run": "#tool", "in": {}, "out": []}}}) == []


def test_an_embedded_tool_is_looked_into() -> None:
    tool: Json = {"class": "CommandLineTool", "inputs": {"x": {"default": {"class": "File", "location": "x.txt"}}}}
    assert targets({"steps": {"a": {"run": tool, "in": {}, "out": []}}}) == [("file", "x.txt")]


def test_an_input_that_is_called_run_is_no_reference() -> None:
    assert targets({"inputs": {"run": "string"}}) == []


def test_imports_and_includes_are_found_anywhere() -> None:
    document: Json = {
        "requirements": [{"class": "SchemaDefRequirement", "types": [{"$import": "types.yml"}]}],
        "expression": {"$include": "code.js"},
        "$schemas": ["edam.owl", "https://example.org/x.owl"],
    }
    assert targets(document) == [("text", "edam.owl"), ("document", "types.yml"), ("text", "code.js")]


def test_only_schemas_are_optional() -> None:
    found = list(references({"$schemas": ["a.owl"], "x": {"$include": "b"}}))
    assert [reference.optional for reference in found] == [True, False]


def test_secondary_files_and_listings_are_found() -> None:
    document: Json = {
        "class": "File",
        "path": "a.bam",
        "secondaryFiles": [
            {"class": "File", "path": "a.bai"},
            {"class": "Directory", "listing": [{"class": "File", "location": "l"}]},
        ],
    }
    assert targets(document) == [("file", "a.bam"), ("file", "a.bai"), ("file", "l")]


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("a%20b.txt", "a b.txt"),
        ("file:///data/a%23b", "/data/a#b"),
        ("/data/x", "/data/x"),
        ("x.txt#frag", "x.txt"),
    ],
)
def test_a_location_is_a_uri(location: str, target: str) -> None:
    assert targets({"class": "File", "location": location}) == [("file", target)]


def test_a_path_is_no_uri() -> None:
    assert targets({"class": "File", "path": "100%25 #1.txt"}) == [("file", "100%25 #1.txt")]


@pytest.mark.parametrize(
    "value",
    [
        {"class": "File", "location": "https://example.org/x"},
        {"class": "File", "location": "$(inputs.x)"},
        {"class": "File", "location": "_:7f"},
        {"class": "File", "basename": "x", "contents": "literal"},
        {"class": "File", "path": "${ return 1 }"},
    ],
)
def test_what_is_no_local_file_is_left_alone(value: Json) -> None:
    assert targets({"a": value}) == []
    assert with_locations({"a": value}, lambda path: "new/" + path) == {"a": value}


def test_params_get_new_locations_and_keep_the_rest() -> None:
    params: Json = {
        "reads": [{"class": "File", "path": "a.fq", "format": "x", "secondaryFiles": [{"class": "File", "path": "b"}]}],
        "n": 3,
    }
    assert with_locations(params, {"a.fq": "in/a.fq", "b": "in/b"}.get) == {
        "reads": [
            {
                "class": "File",
                "format": "x",
                "location": "in/a.fq",
                "secondaryFiles": [{"class": "File", "location": "in/b"}],
            }
        ],
        "n": 3,
    }


def test_the_input_of_a_default_is_known_in_both_notations() -> None:
    file: Json = {"class": "File", "location": "x"}
    for inputs in ({"ref": {"default": file}}, [{"id": "#ref", "default": file}]):
        document: Json = {"inputs": inputs}
        [reference] = references(document)
        assert default_of(document, reference) == "ref"


def test_the_default_of_a_step_is_no_default_of_the_workflow() -> None:
    document: Json = {"steps": {"a": {"in": {"x": {"default": {"class": "File", "location": "x"}}}}}}
    [reference] = references(document)
    assert default_of(document, reference) is None


@pytest.mark.parametrize(
    ("pattern", "name"),
    [(".bai", "a.sorted.bam.bai"), ("^.bai", "a.sorted.bai"), ("^^.dict", "a.dict"), ("^^^^.x", "a.x")],
)
def test_a_secondary_file_pattern_makes_a_name(pattern: str, name: str) -> None:
    assert secondary_name("a.sorted.bam", pattern) == name


def test_secondary_file_patterns_are_found_in_all_notations() -> None:
    document: Json = {
        "inputs": {
            "a": {"type": "File", "secondaryFiles": ".bai"},
            "b": {"type": "File", "secondaryFiles": [".fai", {"pattern": "^.dict", "required": False}, "$(x)"]},
            "c": {"type": {"type": "array", "items": "File", "secondaryFiles": [".tbi?"]}},
            "d": "string",
        }
    }
    assert {name: wanted.patterns for name, wanted in secondary_patterns(document).items()} == {
        "a": (".bai",),
        "b": (".fai", "^.dict"),
        "c": (".tbi",),
        "d": (),
    }

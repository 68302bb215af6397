""""""

from common.json_types import JsonObject
from wes_service.core.links import Links, OutputFile, files, linked, location_of, may_fetch


def test_ids_are_percent_encoded_where_they_are_not_ours() -> None:
    links = Links(base="https://h/prefix")
    logs = "https://h/prefix/ga4gh/wes/v1/runs/r/tasks/a%2Fb%20c/logs"
    assert links.task_logs("r", "a/b c") == (f"{logs}/stdout", f"{logs}/stderr")
    assert links.tes_task("a/b") == "https://h/prefix/ga4gh/tes/v1/tasks/a%2Fb"


OUTPUTS: JsonObject = {
    "n": 1,
    "one": {"class": "File", "location": "wes-output:a/x%20y.txt", "size": 3, "checksum": "sha1$1", "sha256": "2"},
    "many": [
        {
            "class": "File",
            "location": "wes-output:b",
            "secondaryFiles": [{"class": "File", "location": "wes-output:b.i"}],
        },
        {"class": "File", "location": "wes-output:a/x%20y.txt"},
        None,
    ],
    "folder": {"class": "Directory", "location": "wes-output:d"},
    "listed": {
        "class": "Directory",
        "location": "wes-output:e",
        "listing": [
            {"class": "Directory", "location": "wes-output:e/f"},
            {"class": "File", "location": "wes-output:e/g"},
        ],
    },
    "input": {"class": "File", "location": "https://elsewhere/in.txt"},
    "literal": {"class": "File", "contents": "text", "basename": "t"},
}


def test_only_stored_locations_become_urls() -> None:
    urls = linked(OUTPUTS, "http://h/runs/1/outputs/")
    assert urls["one"] == {**dict(OUTPUTS["one"]), "location": "http://h/runs/1/outputs/a/x%20y.txt"}  # type: ignore[arg-type]
    assert urls["input"] == OUTPUTS["input"]
    assert urls["n"] == 1
    assert "wes-output:" not in str(urls)


def test_a_text_that_only_looks_like_a_location_is_left_alone() -> None:
    assert linked({"t": "wes-output:x"}, "http://h") == {"t": "wes-output:x"}


def test_files_are_listed_once_with_what_is_known_of_them() -> None:
    assert files(OUTPUTS) == [
        OutputFile(name="one", path="a/x y.txt", size=3, checksum="sha1$1", sha256="2"),
        OutputFile(name="many", path="b"),
        OutputFile(name="many", path="b.i"),
        OutputFile(name="folder", path="d", folder=True),
        OutputFile(name="listed", path="e/f", folder=True),
        OutputFile(name="listed", path="e/g"),
    ]


def test_a_file_or_what_lies_beneath_a_folder_may_be_fetched() -> None:
    for path in ("a/x y.txt", "b", "b.i", "d/any/thing", "e/g", "e/f/x", "e/not-listed"):
        assert may_fetch(OUTPUTS, path)
    for path in ("a", "a/other", "bb", "b/x", "dd/x", "in.txt", ""):
        assert not may_fetch(OUTPUTS, path)


def test_a_location_is_the_path_percent_encoded() -> None:
    assert location_of("a/ü #1%.txt") == "wes-output:a/%C3%BC%20%231%25.txt"
    assert files({"x": {"class": "File", "location": location_of("a/ü #1%.txt")}})[0].path == "a/ü #1%.txt"

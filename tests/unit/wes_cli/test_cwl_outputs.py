from pathlib import Path

from common.json_types import Json, JsonObject
from wes_cli.cwl_objects import local_outputs

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

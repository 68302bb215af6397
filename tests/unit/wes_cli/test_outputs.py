from common.json_types import Json, JsonObject
from wes_cli.outputs import output_files, plain_values


def file(name: str, **more: Json) -> Json:
    return {"class": "File", "location": f"http://wes/out/{name}", "basename": name, **more}


def places(outputs: JsonObject) -> list[str]:
    return [str(each.path) for each in output_files(outputs)]


def test_files_are_found_in_lists_records_folders_and_beside_files() -> None:
    outputs: JsonObject = {
        "a": file("a.bam", secondaryFiles=[file("a.bai")]),
        "b": [file("1"), [file("2")]],
        "c": {"record": file("3")},
        "d": {
            "class": "Directory",
            "basename": "dir",
            "listing": [file("4"), {"class": "Directory", "basename": "e", "listing": [file("5")]}],
        },
    }
    assert places(outputs) == ["a.bam", "a.bai", "1", "2", "3", "dir/4", "dir/e/5"]


def test_outputs_that_are_named_by_their_paths_keep_their_folders() -> None:
    names = ("results/A/stats.txt", "results/B/stats.txt", "top.txt")
    outputs: JsonObject = {name: file(name.rpartition("/")[2]) for name in names}
    assert places(outputs) == list(names)
    folder: Json = {"class": "Directory", "basename": "plots", "listing": [file("1.svg")]}
    assert places({"results/plots": folder}) == ["results/plots/1.svg"]
    beside = file("a.bam", secondaryFiles=[file("a.bai")])
    assert places({"bam/a.bam": beside, "w.out/x": file("y")}) == ["bam/a.bam", "bam/a.bai", "y"]


def test_a_path_that_would_leave_the_folder_is_made_harmless() -> None:
    assert places({"../../etc/passwd": file("passwd"), "/etc/motd": file("motd")}) == [
        "output/output/etc/passwd",
        "etc/motd",
    ]


def test_files_of_one_name_are_kept_apart() -> None:
    assert places({"x": [file("r.txt"), file("r.txt")], "y": file("r.txt")}) == ["r.txt", "x/r.txt", "y/r.txt"]
    assert places({"x": [file("r")] * 3}) == ["r", "x/r", "x-2/r"]


def test_a_name_that_would_leave_the_folder_is_made_harmless() -> None:
    outputs: JsonObject = {"a": file("../../etc/passwd"), "b": file(".."), "../c": [file("x"), file("x")]}
    assert places(outputs) == [".._.._etc_passwd", "output", "x", ".._c/x"]


def test_sums_and_sizes_are_taken_where_given() -> None:
    [found] = output_files({"a": file("a", size=3, checksum="sha1$ab", sha256="cd")})
    assert (found.size, dict(found.sums)) == (3, {"sha1": "ab", "sha256": "cd"})


def test_plain_urls_count_as_files_and_other_values_do_not() -> None:
    outputs: JsonObject = {"a": "http://wes/x%20y.txt", "n": 3, "s": "text", "none": None}
    assert places(outputs) == ["x y.txt"]
    assert plain_values(outputs) == [("n", "3"), ("s", "text"), ("none", "null")]


def test_an_empty_folder_is_told_by_its_name_and_other_values_as_json() -> None:
    outputs: JsonObject = {
        "d": {"class": "Directory", "basename": "empty", "location": "http://wes/empty", "listing": []},
        "flags": [True, None],
    }
    assert plain_values(outputs) == [("d", "empty/ (an empty folder)"), ("flags", "[true, null]")]

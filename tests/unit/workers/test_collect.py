"""Outputs are measured, named below the run's folder, and never lead out of it."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from common.engine import RUN_ROOT, RunFolder
from common.errors import EngineError, SystemFailure
from workers.run.collect import FileMeasurement, OutputLimits, collect_outputs, measure_file, withheld_outputs


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "outputs" / "sub").mkdir(parents=True)
    (folder / "outputs" / "a b#.txt").write_text("hello\n")
    (folder / "outputs" / "sub" / "c.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("secret")
    return folder


def folder_of_run(work: Path) -> RunFolder:
    return RunFolder(root=work.parent)


def test_a_file_has_location_size_and_checksums(work: Path) -> None:
    given = {"class": "File", "location": f"file://{work}/outputs/a%20b%23.txt", "path": "/x", "basename": "a b#.txt"}
    assert collect_outputs({"out": given, "n": 3, "nothing": None}, folder_of_run(work)) == {
        "out": {
            "class": "File",
            "location": "wes-output:outputs/a%20b%23.txt",
            "basename": "a b#.txt",
            "size": 6,
            "checksum": "sha1$" + hashlib.sha1(b"hello\n", usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(b"hello\n").hexdigest(),
            "mediaType": "text/plain",
        },
        "n": 3,
        "nothing": None,
    }


def test_a_file_is_on_disk_before_it_is_named(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    file = work / "outputs" / "sub" / "c.svg"
    collect_outputs({"out": {"class": "File", "location": f"file://{file}", "basename": "c.svg"}}, folder_of_run(work))
    assert synced == [str(file)]


def test_lists_records_secondary_files_and_directories_are_walked(work: Path) -> None:
    inner = {"class": "File", "location": f"{work}/outputs/sub/c.svg"}
    main: dict[str, Any] = {"class": "File", "location": f"{work}/outputs/a b#.txt", "secondaryFiles": [inner]}
    folder = {"class": "Directory", "location": f"file://{work}/outputs/sub"}
    result: Any = collect_outputs({"out": [{"record": main}, folder]}, folder_of_run(work))
    assert result["out"][0]["record"]["secondaryFiles"][0]["location"] == "wes-output:outputs/sub/c.svg"
    assert result["out"][1]["location"] == "wes-output:outputs/sub"
    assert [child["basename"] for child in result["out"][1]["listing"]] == ["c.svg"]
    assert result["out"][1]["listing"][0]["mediaType"] == "image/svg+xml"


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "{work}/../secret", "{work}/link", "{work}/sub/link/x", "x"]
)
def test_what_lies_outside_the_run_is_not_given_out(work: Path, location: str) -> None:
    (work / "link").symlink_to(work.parent / "secret")
    with pytest.raises(SystemFailure):
        collect_outputs({"out": {"class": "File", "location": location.format(work=work)}}, folder_of_run(work))


def test_a_link_in_a_directory_that_leaves_the_run_is_not_given_out(work: Path) -> None:
    (work / "outputs" / "sub" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SystemFailure, match="outside"):
        collect_outputs({"out": {"class": "Directory", "location": f"file://{work}/outputs/sub"}}, folder_of_run(work))


def test_a_missing_file_is_named(work: Path) -> None:
    with pytest.raises(SystemFailure, match=r"'gone.txt' is missing"):
        collect_outputs({"out": {"class": "File", "location": f"file://{work}/gone.txt"}}, folder_of_run(work))


def folder_of(path: Path) -> dict[str, Any]:
    return {"big": {"class": "Directory", "location": f"file://{path}"}}


def test_links_to_folders_are_listed_once_however_they_are_tangled(work: Path) -> None:
    inner = work / "outputs" / "sub"
    for number in range(40):
        folder = work / f"level{number}"
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).symlink_to(inner)
        inner = folder
    (work / "outputs" / "sub" / "loop").symlink_to(inner)
    with pytest.raises(EngineError, match=r"'big'.*32 deep"):
        collect_outputs(folder_of(inner), folder_of_run(work), OutputLimits(depth=32))
    result: Any = collect_outputs(folder_of(inner), folder_of_run(work))
    assert json.dumps(result).count('"class"') == 2 * 40 + 3


def test_what_is_named_twice_is_read_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []

    def counted(source: BinaryIO, check: Callable[[], None]) -> FileMeasurement:
        read.append(source)
        return measure_file(source, check)

    monkeypatch.setattr("workers.run.collect.measure_file", counted)
    file = {"class": "File", "location": f"{work}/outputs/sub/c.svg"}
    result: Any = collect_outputs({"one": file, "two": [file]}, folder_of_run(work))
    assert (result["one"], len(read)) == (result["two"][0], 1)


def test_too_many_files_are_refused_with_the_outputs_name_and_the_setting(work: Path) -> None:
    for number in range(20):
        (work / "outputs" / f"{number}").touch()
    with pytest.raises(EngineError, match=r"output 'big'.*more than 10 files.*WES_MAX_OUTPUT_FILES"):
        collect_outputs(folder_of(work / "outputs"), folder_of_run(work), OutputLimits(entries=10))


def test_too_many_bytes_are_refused_before_they_are_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.run.collect.measure_file", lambda *_: pytest.fail("it was read"))
    (work / "outputs" / "x").write_bytes(bytes(2000))
    with pytest.raises(EngineError, match=r"output 'x'.*WES_MAX_OUTPUT_GB"):
        collect_outputs(
            {"x": {"class": "File", "location": f"{work}/outputs/x"}},
            folder_of_run(work),
            OutputLimits(total_bytes=1999),
        )


def test_a_file_of_nothing_but_holes_is_not_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.run.collect.measure_file", lambda *_: pytest.fail("it was read"))
    with (work / "huge").open("wb") as file:
        file.truncate(8 * 1024**4)
    with pytest.raises(EngineError, match=r"output 'x' names 'huge', which claims 8,796 GB"):
        collect_outputs({"x": {"class": "File", "location": f"{work}/huge"}}, folder_of_run(work))


def test_a_pipe_is_no_output(work: Path) -> None:
    os.mkfifo(work / "pipe")
    with pytest.raises(EngineError, match="neither a file nor a folder"):
        collect_outputs({"x": {"class": "File", "location": f"{work}/pipe"}}, folder_of_run(work))


def test_links_that_an_engine_made_in_its_sandbox_lead_to_the_same_files_here(work: Path) -> None:
    """Their texts are paths that only the engine sees; a folder and a file are named by what they really are."""
    folder = RunFolder(root=work.parent, seen_root=RUN_ROOT)
    (work / "folder").symlink_to("/wes/run/work/outputs")
    (work / "results").mkdir()
    (work / "results" / "c").symlink_to("/wes/run/work/folder/sub/c.svg")
    (work / "results" / "all").symlink_to("../folder/sub")
    result: Any = collect_outputs({"out": {"class": "Directory", "location": "file:///wes/run/work/results"}}, folder)
    inner = {child["basename"]: child for child in result["out"]["listing"]}
    assert inner["c"]["location"] == "wes-output:outputs/sub/c.svg"
    assert [child["location"] for child in inner["all"]["listing"]] == ["wes-output:outputs/sub/c.svg"]


@pytest.mark.parametrize(
    "target", ["/wes/run/control/tes-token", "{work}/outputs/sub/c.svg", "/wes/run/../etc", "../.."]
)
def test_no_link_of_a_sandbox_is_followed_on_this_machine(work: Path, target: str) -> None:
    """Not even to a file that is the run's own: a path of this machine means nothing to its engine."""
    folder = RunFolder(root=work.parent, seen_root=RUN_ROOT)
    (work / "link").symlink_to(target.format(work=work))
    with pytest.raises(SystemFailure, match="outside"):
        collect_outputs({"out": {"class": "File", "location": "file:///wes/run/work/link"}}, folder)


def test_files_whose_bytes_are_in_a_store_are_found_wherever_they_are_named(work: Path) -> None:
    sub = work / "outputs" / "sub"
    for path in (work / "apart", sub / "d #"):
        path.write_bytes(b"\0" * 5)
        path.chmod(0)
    (sub / "link").symlink_to(work / "apart")
    named = {"class": "Directory", "location": f"file://{sub}"}
    outputs: Any = {"out": [named, {"class": "File", "location": f"{work}/outputs/a b#.txt"}]}
    found = withheld_outputs(outputs, folder_of_run(work))
    assert sorted(found) == [f"file://{work}/apart", f"file://{sub}/d%20%23"]
    with pytest.raises((SystemFailure, PermissionError), match=r"bytes are in a store still|Permission denied"):
        collect_outputs(outputs, folder_of_run(work))

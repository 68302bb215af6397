"""Outputs are measured, named below the run's folder, and never lead out of it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from wes_service.core.errors import SystemFailure
from workers.run.collect import collected


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "outputs" / "sub").mkdir(parents=True)
    (folder / "outputs" / "a b#.txt").write_text("hello\n")
    (folder / "outputs" / "sub" / "c.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("secret")
    return folder


def test_a_file_has_location_size_and_checksums(work: Path) -> None:
    given = {"class": "File", "location": f"file://{work}/outputs/a%20b%23.txt", "path": "/x", "basename": "a b#.txt"}
    assert collected({"out": given, "n": 3, "nothing": None}, work) == {
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
    collected({"out": {"class": "File", "location": f"file://{file}", "basename": "c.svg"}}, work)
    assert synced == [str(file)]


def test_lists_records_secondary_files_and_directories_are_walked(work: Path) -> None:
    inner = {"class": "File", "location": f"{work}/outputs/sub/c.svg"}
    main: dict[str, Any] = {"class": "File", "location": f"{work}/outputs/a b#.txt", "secondaryFiles": [inner]}
    folder = {"class": "Directory", "location": f"file://{work}/outputs/sub"}
    result: Any = collected({"out": [{"record": main}, folder]}, work)
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
        collected({"out": {"class": "File", "location": location.format(work=work)}}, work)


def test_a_link_in_a_directory_that_leaves_the_run_is_not_given_out(work: Path) -> None:
    (work / "outputs" / "sub" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SystemFailure, match="outside"):
        collected({"out": {"class": "Directory", "location": f"file://{work}/outputs/sub"}}, work)


def test_a_missing_file_is_named(work: Path) -> None:
    with pytest.raises(SystemFailure, match=r"'gone.txt' is missing"):
        collected({"out": {"class": "File", "location": f"file://{work}/gone.txt"}}, work)

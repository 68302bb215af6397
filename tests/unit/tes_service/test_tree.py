import os
from pathlib import Path

import pytest

from tes_service.errors import TaskFault
from tes_service.output_paths import MOST_LEVELS, Listing, listing


def _nowhere(_link: Path) -> Path | None:
    return None


def _kinds(found: Listing) -> dict[str, str]:
    return {entry.path: entry.kind for entry in found.entries}


def test_everything_is_listed_parents_first(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("xyz")
    (tmp_path / "empty").mkdir()
    found = listing(tmp_path, _nowhere)
    assert _kinds(found) == {"a": "folder", "a/b": "folder", "a/b/file": "file", "empty": "folder"}
    assert found.whole
    paths = [entry.path for entry in found.entries]
    assert paths.index("a") < paths.index("a/b") < paths.index("a/b/file")
    assert found.entries[-1].size == 3 or found.entries[0].path == "a"


def test_links_that_stay_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "a/link").symlink_to("../file")
    (tmp_path / "loop").symlink_to("a")
    found = listing(tmp_path, _nowhere)
    assert _kinds(found)["a/link"] == _kinds(found)["loop"] == "link"
    assert found.whole


def test_a_link_that_passes_outside_is_no_link_that_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("../folder/file")
    assert listing(folder, _nowhere).skipped == ("link",)
    assert listing(folder, lambda link: link.resolve()).entries[1].elsewhere


def test_links_that_leave_are_what_they_lead_to(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "file").write_text("x")
    (folder / "link").symlink_to(outside)
    found = listing(folder, lambda link: link.resolve())
    assert _kinds(found) == {"link": "folder", "link/file": "file"}
    assert not found.whole
    assert all(entry.elsewhere for entry in found.entries)


def test_links_in_circles_end(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "out").symlink_to(outside)
    (outside / "back").symlink_to(folder)
    (outside / "self").symlink_to(outside)
    assert listing(folder, lambda link: link.resolve()).skipped == ("out/back", "out/self")


def test_what_is_neither_file_nor_folder_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nothing")
    assert listing(tmp_path, _nowhere).skipped == ("dangling", "pipe")


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "out" / "/".join("d" * (MOST_LEVELS + 1))
    deep.mkdir(parents=True)
    with pytest.raises(TaskFault, match="out holds folders in more than 256 levels"):
        listing(tmp_path / "out", _nowhere)
    deep.rmdir()
    assert len(listing(tmp_path / "out", _nowhere).entries) == MOST_LEVELS

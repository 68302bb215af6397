""""""

import os
from pathlib import Path

import pytest

from sandbox.bubblewrap import Mount
from tes_service.errors import TaskFault
from tes_service.layout import Layout
from tes_service.output_paths import (
    MOST_LEVELS,
    FolderListing,
    ResolvedPath,
    expression,
    inside_path,
    listing,
    locate,
    matches,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """`/out` is in the tree; `/in/file` and `/in/folder` are bound."""
    root, data = tmp_path / "tree", tmp_path / "data"
    (root / "out").mkdir(parents=True)
    (root / "out/real").write_text("x")
    (data / "folder").mkdir(parents=True)
    (data / "file").write_text("y")
    (data / "folder/inner").write_text("z")
    bound = (
        Mount(source=data / "file", target="/in/file"),
        Mount(source=data / "folder", target="/in/folder"),
    )
    return Layout(root=root, writable=("/out",), bound=bound)


def _link(layout: Layout, name: str, target: str) -> str:
    (layout.root / "out" / name).symlink_to(target)
    return f"/out/{name}"


def test_what_is_in_the_tree_is_inside(layout: Layout) -> None:
    assert locate(layout, "/out/real") == ResolvedPath(path=layout.root / "out/real", inside=True)
    assert locate(layout, "/out") == ResolvedPath(path=layout.root / "out", inside=True)


def test_what_is_bound_is_where_it_comes_from(layout: Layout) -> None:
    found = locate(layout, "/in/folder/inner")
    assert found is not None
    assert (found.path.read_text(), found.inside) == ("z", False)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("real", "x"),
        ("/out/real", "x"),
        ("../out/./real", "x"),
        ("/in/file", "y"),
        ("../in/folder/inner", "z"),
        ("/in/folder/../file", "y"),
        ("../../../../out/real", "x"),
    ],
)
def test_links_lead_where_the_task_sees_them_lead(layout: Layout, target: str, text: str) -> None:
    found = locate(layout, _link(layout, "link", target))
    assert found is not None
    assert found.path.read_text() == text


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../etc/passwd", "nothing", "link", "/"])
def test_links_out_of_the_task_lead_nowhere(layout: Layout, target: str) -> None:
    found = locate(layout, _link(layout, "link", target) + ("/etc/passwd" if target == "/" else ""))
    assert found is None


def test_links_in_the_middle_of_a_path_are_followed(layout: Layout) -> None:
    _link(layout, "up", "..")
    found = locate(layout, "/out/up/out/up/in/file")
    assert found is not None
    assert found.path.read_text() == "y"


def test_host_paths_in_links_are_understood(layout: Layout) -> None:
    assert inside_path(layout, layout.root / "out/x") == "/out/x"
    assert inside_path(layout, layout.bound[1].source / "inner") == "/in/folder/inner"
    assert inside_path(layout, Path("/etc/passwd")) is None
    found = locate(layout, _link(layout, "link", str(layout.root / "out/real")))
    assert found is not None
    assert found.path.read_text() == "x"


def _nowhere(_link: Path) -> Path | None:
    return None


def _kinds(found: FolderListing) -> dict[str, str]:
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


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "a.txt2", False),
        ("?", "ä", True),
        ("[ab]*", "bcd", True),
        ("[!ab]*", "bcd", False),
        ("[!ab]*", "^cd", True),
        ("[a-c]", "b", True),
        ("[]x]", "]", True),
        ("[^a]", "^", True),
        ("a[", "a[", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("a.b", "axb", False),
        ("a\nb*", "a\nbc", True),
        ("[\\w]", "w", True),
        ("[&&]", "&", True),
    ],
)
def test_patterns_are_those_of_the_shell(pattern: str, name: str, fits: bool) -> None:
    assert (expression(pattern).fullmatch(name) is not None) is fits


def test_matches_are_found_in_the_tree(tmp_path: Path) -> None:
    for name in ("out/a/1.txt", "out/a/.2.txt", "out/b/3.txt", "out/4.txt", "out/b/5.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "out/b/link.txt").symlink_to("/etc/passwd")
    layout = Layout(root=tmp_path, writable=("/out",))

    def found(pattern: str) -> list[str]:
        return [path for path, _ in matches(layout, pattern)]

    assert found("/out/*/*.txt") == ["/out/a/1.txt", "/out/b/3.txt"]
    assert found("/out/?.txt") == ["/out/4.txt"]
    assert found("/out/a/.*") == ["/out/a/.2.txt"]
    assert found("/out/*/5.csv") == ["/out/b/5.csv"]
    assert found("/none/*") == []

from pathlib import Path

import pytest

from sandbox.bubblewrap import Mount
from tes_service.layout import Layout
from tes_service.output_paths import ResolvedPath, inside_path, locate


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

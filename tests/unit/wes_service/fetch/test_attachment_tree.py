from pathlib import Path

import pytest

from common.errors import EngineError
from wes_service.fetch.attachment_tree import AttachmentTree, listed


def test_nothing_is_written_through_a_link_or_over_an_attachment(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    tree = AttachmentTree(root=tmp_path)
    tree.write("mine", b"theirs")
    tree.link("mine", "/etc/passwd")
    tree.link("a", "..")
    with pytest.raises(EngineError, match="'a' is a link and a folder at once"):
        tree.link("a/b", "x")
    with pytest.raises(EngineError, match="'a' is a link and a folder at once"):
        tree.write("a/c", b"")
    assert tree.checked_links() == ["a"]
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}
    assert (tmp_path / "mine").read_text() == "mine"
    assert tree.kept_lines() == ["Attached, so not fetched: mine, mine."]


def test_a_file_with_the_name_of_a_folder_is_refused(tmp_path: Path) -> None:
    tree = AttachmentTree(root=tmp_path)
    tree.write("a/b", b"")
    with pytest.raises(EngineError, match="in the way"):
        tree.write("a", b"")


@pytest.mark.parametrize("name", ["../x", "a\nb", "n" * 300])
def test_a_name_that_is_not_safe_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="is not safe"):
        AttachmentTree(root=tmp_path).place({name: b""})


def test_a_long_list_is_cut() -> None:
    assert listed(str(number) for number in range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"

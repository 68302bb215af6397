"""What a TES delivered as root is given to the engine's user, and nothing else is."""

import os
from pathlib import Path

import pytest

from sandbox.identity import Identity, own_beneath

FOREIGN = Identity(uid=64321, gid=64321, drop=True)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_a_file_and_a_whole_folder_change_their_owner(tmp_path: Path) -> None:
    (tmp_path / "work/out/sub").mkdir(parents=True)
    for name in ("work/a", "work/out/b", "work/out/sub/c"):
        (tmp_path / name).write_text("x")
    own_beneath(tmp_path / "work/a", [tmp_path / "work"], FOREIGN)
    own_beneath(tmp_path / "work/out", [tmp_path / "work"], FOREIGN)
    owners = {path.name: path.stat().st_uid for path in (tmp_path / "work").rglob("*")}
    assert owners == dict.fromkeys(("a", "out", "b", "sub", "c"), 64321)


@needs_root
def test_links_are_not_followed_and_other_folders_not_touched(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret").write_text("x")
    (tmp_path / "work/file").symlink_to(tmp_path / "other/secret")
    (tmp_path / "work/folder").symlink_to(tmp_path / "other")
    for name in ("work/file", "work/folder", "work/folder/secret", "other/secret", "work/gone/x"):
        own_beneath(tmp_path / name, [tmp_path / "work"], FOREIGN)
    assert (tmp_path / "other/secret").stat().st_uid == 0
    assert (tmp_path / "other").stat().st_uid == 0
    assert (tmp_path / "work/file").lstat().st_uid == 64321


def test_a_server_that_is_not_root_leaves_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = (tmp_path / "a").stat().st_uid
    own_beneath(tmp_path / "a", [tmp_path], Identity(uid=64321, gid=64321, drop=False))
    assert (tmp_path / "a").stat().st_uid == before

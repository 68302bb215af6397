import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.foreign_files import remove_tree


def dig(folder: Path, depth: int) -> None:
    """Makes folders inside of each other, deeper than any path may be long."""
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 20, dir_fd=handle)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=handle)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(handle)
        handle = inner
    os.close(handle)


def test_a_folder_of_any_depth_is_removed(tmp_path: Path) -> None:
    dig(tmp_path / "deep", 1500)
    assert remove_tree(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []


def test_what_links_lead_to_is_left(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    folder = tmp_path / "run"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "link").symlink_to(kept)
    (folder / "to-file").symlink_to(kept / "file")
    assert remove_tree(folder)
    (tmp_path / "link").symlink_to(kept)
    assert remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()


def test_what_is_not_there_is_gone(tmp_path: Path) -> None:
    assert remove_tree(tmp_path / "nothing")


UNWRITABLE = """
import os, sys
from pathlib import Path
from sandbox.foreign_files import remove_tree
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(64321); os.setuid(64321)
folder = Path(sys.argv[1]) / "run"
(folder / "a" / "b").mkdir(parents=True)
(folder / "a" / "b" / "file").touch()
for path in (folder / "a" / "b", folder / "a", folder):
    path.chmod(0o500 if path.name != "b" else 0)
sys.exit(0 if remove_tree(folder) else 3)
"""


def test_folders_that_nobody_may_write_to_are_removed_by_their_owner(open_tmp: Path) -> None:
    open_tmp.chmod(0o777)
    subprocess.run([sys.executable, "-c", UNWRITABLE, str(open_tmp)], check=True, cwd=Path.cwd())
    assert not (open_tmp / "run").exists()


def test_a_folder_that_can_not_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "rmdir", refuse)
    assert not remove_tree(tmp_path / "run")

import os
from pathlib import Path

import pytest

from tes_service.errors import TaskFault
from tes_service.places import Places, file_path, folder_beneath, open_source, readable, real_places
from wes_service.core.errors import InvalidRequest
from wes_service.launch.identity import Identity, foreign_identity

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a%20b", "/a b"),
        ("file:///a%23b%3Fc%25d", "/a#b?c%d"),
        ("file:///a#b?c", "/a#b?c"),
        ("file://localhost/a", "/a"),
        ("FILE:///a//b/./c/", "/a/b/c"),
        ("file:/a", "/a"),
        ("file:///%C3%A4", "/ä"),
        ("file:///%ff", "/\udcff"),
        ("/a%20b", "/a%20b"),
        ("http://x/y", None),
        ("s3://b/file:///x", None),
        ("relative", None),
    ],
)
def test_what_file_urls_mean(url: str, path: str | None) -> None:
    assert file_path(url) == path


@pytest.mark.parametrize(
    "url", ["file://host/a", "file://a", "/a/../b", "file:///a/%2e%2e/b", "file:///a%00b", "file:"]
)
def test_what_file_urls_may_not_be(url: str) -> None:
    with pytest.raises(InvalidRequest):
        file_path(url)


def test_allowed_folders_count_by_their_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to("real")
    places = real_places((tmp_path / "named",), ())
    assert places.write == (tmp_path / "real",)
    assert places.allows(str(tmp_path / "named/x"), write=True)
    assert places.allows(str(tmp_path / "real/x"), write=True)
    assert not places.allows(str(tmp_path / "realx"), write=True)


def test_readable_folders_are_not_writable(tmp_path: Path) -> None:
    places = Places(read=(tmp_path,))
    assert places.allows(str(tmp_path / "x"), write=False)
    assert not places.allows(str(tmp_path / "x"), write=True)


def test_what_was_opened_is_what_is_checked(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_text("x")
    (inside / "link").symlink_to(outside)
    (inside / "pipe").parent.joinpath("file").write_text("abc")
    os.mkfifo(inside / "pipe")
    places = Places(read=(inside,))
    source = open_source(places, str(inside / "file"))
    assert (source.path, source.size, source.is_folder) == (inside / "file", 3, False)
    os.close(source.fd)
    for name, problem in (("link", "real path"), ("pipe", "neither a file nor a folder"), ("none", "can't be opened")):
        with pytest.raises(TaskFault, match=problem):
            open_source(places, str(inside / name))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can stand for somebody else")
def test_modes_decide_what_another_user_may_read(tmp_path: Path) -> None:
    identity = foreign_identity(64321)
    for mode, owner, expected in ((0o600, 0, False), (0o604, 0, True), (0o400, 64321, True), (0o044, 64321, False)):
        path = tmp_path / f"{mode}-{owner}"
        path.write_text("x")
        path.chmod(mode)
        os.chown(path, owner, -1)
        source = open_source(Places(read=(tmp_path,)), str(path))
        assert readable(identity, source) is expected
        os.close(source.fd)


def test_no_symlink_is_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="link"), folder_beneath(tmp_path, ("link",), OWN):
        pass
    with folder_beneath(tmp_path, ("real", "new", "newer"), OWN):
        assert (tmp_path / "real/new/newer").is_dir()
    with pytest.raises(FileNotFoundError), folder_beneath(tmp_path, ("none",)):
        pass

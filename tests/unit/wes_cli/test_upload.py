from pathlib import Path

import pytest

from tests.fakes.wes_server import FakeWes
from wes_cli.client import WesClient
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.upload import LazyFile, open_attachments


def test_files_arrive_whole_under_their_names(server: FakeWes, client: WesClient, tmp_path: Path) -> None:
    files = {"a b/ü.txt": b"x" * 300_000, "empty": b""}
    for number, content in enumerate(files.values()):
        (tmp_path / str(number)).write_bytes(content)
    paths = {name: tmp_path / str(number) for number, name in enumerate(files)}
    with open_attachments(paths, bar=False) as sent:
        client.submit({"workflow_type": "CWL"}, sent)
    [submission] = server.submissions
    assert submission.files == files
    assert submission.form == {"workflow_type": "CWL"}


def test_a_file_is_open_only_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    counted: list[int] = []
    with LazyFile(tmp_path / "a", counted.append) as file:
        open_after = [file.is_open]
        assert file.read(2) == b"ab"
        open_after.append(file.is_open)
        assert file.read() + file.read() == b"c"
        open_after.append(file.is_open)
    assert open_after == [False, True, False]
    assert counted == [2, 1]


def test_a_file_can_be_read_from_any_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    with LazyFile(tmp_path / "a", lambda _: None) as file:
        assert file.seek(0, 2) == 6
        file.seek(4)
        assert file.read() == b"ef"


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with LazyFile(path, lambda _: None) as file:
        path.write_bytes(b"abcdef")
        assert file.read() == b"abc"


def test_a_file_that_became_shorter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with LazyFile(path, lambda _: None) as file:
        path.write_bytes(b"")
        with pytest.raises(ClientError, match="a became shorter"):
            file.read()


def test_a_file_that_cannot_be_read_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidArgument, match="gone can't be read"),
        open_attachments({"x": tmp_path / "gone"}, bar=False),
    ):
        pass

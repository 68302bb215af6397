import json
from pathlib import Path

import pytest

from tests.fakes.wes_server import FakeWes
from wes_cli.client import WesClient
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.upload import LazyFile, form_fields, open_attachments, workflow_type, workflow_type_version
from wes_cli.views import ServiceView


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


INFO = ServiceView(
    name="x",
    version="1",
    types={"CWL": ("v1.0", "v1.2", "v1.10"), "snakemake": ("9", "10"), "WDL": ("draft-2", "1.0")},
    engines={},
)


def test_a_language_has_the_name_that_the_server_gives_it() -> None:
    assert workflow_type("SMK", INFO) == "snakemake"
    assert workflow_type("NFL", INFO) == "NFL"


@pytest.mark.parametrize(
    ("name", "language", "version"),
    [("CWL", "CWL", "v1.10"), ("snakemake", "SMK", "10"), ("WDL", "WDL", "1.0"), ("NFL", "NFL", "DSL2")],
)
def test_the_newest_version_is_taken_where_the_document_names_none(name: str, language: str, version: str) -> None:
    assert workflow_type_version(name, language, INFO) == version


def test_an_unknown_type_asks_for_its_version() -> None:
    with pytest.raises(InvalidArgument, match="--type-version"):
        workflow_type_version("GALAXY", "GALAXY", INFO)


def test_only_what_was_given_is_sent() -> None:
    fields = form_fields(params={"n": 1}, tags={}, engine=None, engine_version=None, engine_parameters={})
    assert fields == {"workflow_params": '{"n": 1}'}


def test_objects_are_sent_as_json() -> None:
    fields = form_fields(
        params={}, tags={"ü": "1"}, engine="cwltool", engine_version="3.3", engine_parameters={"max-ram": "4"}
    )
    assert json.loads(fields["tags"]) == {"ü": "1"}
    assert json.loads(fields["workflow_engine_parameters"]) == {"max-ram": "4"}
    assert (fields["workflow_engine"], fields["workflow_engine_version"]) == ("cwltool", "3.3")

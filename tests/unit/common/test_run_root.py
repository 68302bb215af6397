"""A run is named by one root, and found on this machine."""

from pathlib import Path

import pytest

from common.engine import RUN_ROOT, RunFolder
from common.errors import InvalidLocation
from common.location import RemoteLocation
from common.run_root import DataLocation, RunLocation, RunRoot


@pytest.fixture
def root(tmp_path: Path) -> RunRoot:
    for name in ("run/attachments", "run/work", "data"):
        (tmp_path / name).mkdir(parents=True)
    return RunRoot(folder=RunFolder(root=tmp_path / "run", seen_root=RUN_ROOT), data=(tmp_path / "data",))


def test_there_is_one_spelling_for_each_place_and_it_is_read_back(root: RunRoot, tmp_path: Path) -> None:
    for text, url in (
        ("/wes/run/work/a b", "file:///wes/run/work/a%20b"),
        ("file:/wes/run/./work//c%23", "file:///wes/run/work/c%23"),
        (f"{tmp_path}/data/x", f"file://{tmp_path}/data/x"),
        ("S3://bucket/key", "s3://bucket/key"),
    ):
        location = root.parse(text)
        assert root.seen_url(location) == url
        assert root.parse(url) == location


def test_a_place_of_the_run_is_found_on_this_machine_and_data_are_where_they_are(root: RunRoot, tmp_path: Path) -> None:
    of_run, of_data = root.parse("/wes/run/work/a"), root.parse(f"{tmp_path}/data/x")
    assert isinstance(of_run, RunLocation)
    assert root.host_path(of_run) == tmp_path / "run/work/a"
    assert of_run.is_in(root.folder.attachments, root.folder.work)
    assert not of_run.is_in(root.folder.control)
    assert isinstance(of_data, DataLocation)
    assert root.host_path(of_data) == tmp_path / "data/x"
    assert isinstance(root.parse("https://example.org/x"), RemoteLocation)


@pytest.mark.parametrize("text", ["/etc/passwd", "{tmp}/run/work/a", "{tmp}/dataother", "/wes/runs/x", "/wes", "x"])
def test_all_else_is_refused_in_words(root: RunRoot, tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidLocation):
        root.parse(text.format(tmp=tmp_path))


def test_without_a_sandbox_the_root_is_the_folder_itself_by_each_of_its_names(tmp_path: Path) -> None:
    """What an engine resolves by itself is named by the real path."""
    (tmp_path / "real/run/work").mkdir(parents=True)
    (tmp_path / "named").symlink_to("real")
    root = RunRoot(folder=RunFolder(root=tmp_path / "named/run"))
    for name in ("named", "real"):
        location = root.parse(f"{tmp_path}/{name}/run/work/a")
        assert root.seen_url(location) == f"file://{tmp_path}/named/run/work/a"
    (tmp_path / "real/run/work/link").symlink_to(tmp_path / "real/run/work/b")
    assert root.real_path(tmp_path / "named/run/work/link") == tmp_path / "named/run/work/b"
    assert root.with_seen_paths(f"{tmp_path}/named/run/work") == f"{tmp_path}/named/run/work"


def test_sentences_name_the_run_as_its_engine_does(root: RunRoot, tmp_path: Path) -> None:
    said = f"{tmp_path}/run/work/a, '{tmp_path}/run' and file://{tmp_path}/run/attachments/b"
    assert root.with_seen_paths(said) == "/wes/run/work/a, '/wes/run' and file:///wes/run/attachments/b"
    for other in (f"{tmp_path}/run2/work", f"{tmp_path}/run-1", f"{tmp_path}"):
        assert root.with_seen_paths(other) == other


def test_a_chain_of_links_without_an_end_leads_nowhere(root: RunRoot) -> None:
    work = root.folder.work
    for number in range(50):
        (work / f"l{number}").symlink_to(f"l{number + 1}")
    assert root.real_path(RUN_ROOT / "work/l0") is None
    assert root.real_path(RUN_ROOT / "work/l20") == work / "l50"


def test_a_link_that_goes_up_again_is_followed_step_by_step(root: RunRoot) -> None:
    """`..` behind a link counts from where the link leads to."""
    work = root.folder.work
    (work / "deep/er").mkdir(parents=True)
    (work / "short").symlink_to("/wes/run/work/deep/er")
    (work / "up").symlink_to("short/../x")
    assert root.real_path(RUN_ROOT / "work/up") == work / "deep/x"

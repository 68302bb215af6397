import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import InvalidField, LogNotFound, RunNotFound
from sandbox.foreign_files import open_beneath
from sandbox.identity import foreign_identity
from wes_service.storage.run_folders import RunFolders, StagingFolder


@pytest.fixture
def folders(tmp_path: Path) -> RunFolders:
    made = RunFolders(tmp_path / "data/runs", foreign_identity(64321))
    made.prepare()
    return made


def put(staging: StagingFolder, name: str, content: bytes = b"x") -> None:
    attachment = staging.create(name)
    attachment.write(content)
    staging.finish(attachment)


def test_attachments_are_in_the_runs_folder_after_the_commit(folders: RunFolders) -> None:
    with folders.stage() as staging:
        put(staging, "a/b/c", b"hello")
        put(staging, "./d", b"")
        folder = folders.commit(staging, "run-1")
    assert staging.names == ("a/b/c", "d")
    assert (folder.attachments / "a/b/c").read_bytes() == b"hello"
    assert not folder.work.exists()
    folders.complete("run-1")
    folders.complete("run-1")
    assert all(path.is_dir() for path in (folder.work, folder.control, folder.logs))
    assert folder == folders.folder("run-1")


def test_the_digest_is_that_of_the_content(folders: RunFolders) -> None:
    with folders.stage() as staging:
        put(staging, "empty", b"")
    assert staging.digests == {"empty": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}


def test_what_is_not_committed_is_gone_at_the_end(folders: RunFolders) -> None:
    with folders.stage() as staging:
        put(staging, "a")
        staging.create("b").write(b"half")
    assert [path.name for path in folders.root.rglob("*")] == [".staging"]


def test_a_run_can_be_discarded(folders: RunFolders) -> None:
    with folders.stage() as staging:
        put(staging, "a")
        folders.commit(staging, "run-1")
    folders.discard("run-1")
    assert not folders.folder("run-1").root.exists()


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", ".staging", "a\0", "-x", "é", "x" * 65])
def test_what_can_not_be_an_id_names_no_folder(folders: RunFolders, run_id: str) -> None:
    with pytest.raises(RunNotFound):
        folders.folder(run_id)


def test_names_are_compared_one_by_one_only_where_there_is_a_clash(
    folders: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At 10,000 attachments each with each would be fifty million comparisons.
    compared: list[str] = []
    monkeypatch.setattr("wes_service.storage.run_folders.check_clash", lambda _, name: compared.append(name))
    with folders.stage() as staging:
        for number in range(50):
            put(staging, f"folder-{number % 5}/file-{number}")
        assert compared == []
        staging._checked("folder-1")
        staging._checked("folder-1/file-1/deeper")
    assert compared == ["folder-1", "folder-1/file-1/deeper"]


@pytest.mark.parametrize("clash", ["a", "a/b/c"])
def test_a_clash_is_refused(folders: RunFolders, clash: str) -> None:
    with folders.stage() as staging:
        put(staging, "a/b")
        with pytest.raises(InvalidField, match="clash"):
            staging.create(clash)


def test_old_leftovers_of_a_crash_are_removed_and_young_ones_left(folders: RunFolders) -> None:
    old, young = folders.root / ".staging/old", folders.root / ".staging/young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "file").touch()
    for path in (old / "file", old):
        os.utime(path, (0, 0))
    folders.remove_stale_uploads()
    assert not old.exists()
    assert young.exists()


def test_foreign_code_may_pass_the_root_but_not_list_it(folders: RunFolders) -> None:
    assert folders.root.stat().st_mode & 0o777 == 0o711
    assert (folders.root / ".staging").stat().st_mode & 0o777 == 0o700


def _link_out(work: Path) -> None:
    (work / "x").symlink_to("/etc/hostname")


def _link_up(work: Path) -> None:
    (work / "x").symlink_to("../secret")


def _folder_out(work: Path) -> None:
    (work / "sub").symlink_to("/etc")
    (work / "x").symlink_to("sub/hostname")


def _pipe(work: Path) -> None:
    os.mkfifo(work / "x")


def _device(work: Path) -> None:
    (work / "x").symlink_to("/dev/zero")


def _self(work: Path) -> None:
    (work / "x").symlink_to("/proc/self/environ")


def _hidden_by_proc(work: Path) -> None:
    (work / "x").symlink_to("/proc/self/root/etc/hostname")


@pytest.mark.parametrize("make", [_link_out, _link_up, _folder_out, _pipe, _device, _self, _hidden_by_proc, Path.mkdir])
def test_only_regular_files_inside_are_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("secret")
    make(work / "x" if make is Path.mkdir else work)
    with pytest.raises(LogNotFound):
        open_beneath(work, "x")


@pytest.mark.parametrize("relative", ["", ".", "..", "../secret", "a/../../secret", "/etc/hostname", "a\0", "missing"])
def test_a_path_that_leaves_is_not_even_tried(tmp_path: Path, relative: str) -> None:
    (tmp_path / "work/a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(LogNotFound):
        open_beneath(tmp_path / "work", relative)


def test_a_work_folder_that_is_a_link_itself_is_not_followed(folders: RunFolders, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_text("secret")
    with folders.stage() as staging:
        folder = folders.commit(staging, "run-1")
    folder.work.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogNotFound):
        folders.open_output("run-1", "x")
    assert folders.output_files("run-1", ".") == []


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "x").symlink_to("real")
    with open_beneath(tmp_path.resolve(), "x") as file:
        assert file.read() == b"1"


def test_a_log_that_was_not_written_is_none(folders: RunFolders) -> None:
    with folders.stage() as staging:
        folder = folders.commit(staging, "run-1")
    assert folders.open_log("run-1", "stdout") is None
    folders.complete("run-1")
    assert folders.open_log("run-1", "stdout") is None
    (folder.logs / "stdout").write_bytes(b"x")
    file = folders.open_log("run-1", "stdout")
    assert file is not None
    with file:
        assert file.read() == b"x"

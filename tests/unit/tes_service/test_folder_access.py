"""Which folders a task may use, and that nothing outside of them is opened, however a path leads there."""

import os
from pathlib import Path

import pytest

from common.errors import InvalidField
from sandbox.foreign_files import folder_beneath
from sandbox.identity import Identity, foreign_identity
from tes.task import TAG_RUN, TAG_TASK
from tes_service.errors import TaskFault
from tes_service.folder_access import (
    FolderAccess,
    OutsideFault,
    allowed_folders,
    open_source,
    opened_for_writing,
    opened_path,
    opened_source,
    readable,
)

OWN = Identity(uid=os.geteuid(), gid=os.getegid(), drop=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs `one` and `two`, each with files of its own, and data of the operator's beside them."""
    runs = tmp_path / "runs"
    for run in ("one", "two"):
        for name in ("attachments/a", "work/w", "control/tes-token", "logs/stdout", "logs/tasks/t1/stdout"):
            (runs / run / name).parent.mkdir(parents=True, exist_ok=True)
            (runs / run / name).write_text(f"{run} {name}")
    (tmp_path / "data/folder").mkdir(parents=True)
    (tmp_path / "data/folder/d").write_text("data")
    return runs


@pytest.fixture
def access(runs: Path) -> FolderAccess:
    """Of a task of the run `one`."""
    return allowed_folders((), (runs.parent / "data",), runs).of({TAG_RUN: "one", TAG_TASK: "t1"})


def read(access: FolderAccess, path: Path) -> str:
    with opened_source(access, path) as source:
        return Path(f"/proc/self/fd/{source.fd}").read_text()


def test_a_task_reads_attachments_and_work_of_its_run_and_data(access: FolderAccess, runs: Path) -> None:
    assert read(access, runs / "one/attachments/a") == "one attachments/a"
    assert read(access, runs / "one/work/w") == "one work/w"
    assert read(access, runs.parent / "data/folder/d") == "data"


def test_links_lead_to_where_the_engine_of_the_run_sees_it(access: FolderAccess, runs: Path) -> None:
    """An engine and its tasks know their run by one root, and write that into symlinks."""
    (runs / "one/work/a").symlink_to("/wes/run/attachments/a")
    (runs / "one/work/folder").symlink_to("/wes/run/work")
    assert read(access, runs / "one/work/folder/folder/a") == "one attachments/a"
    with opened_for_writing(access, runs / "one/work/folder/new") as (fd, missing):
        assert (opened_path(fd), missing) == (runs / "one/work", ["new"])


@pytest.mark.parametrize("target", ["/wes/run/control/tes-token", "/wes/run/../run/control", "/wes/run/logs", "/wes"])
def test_that_root_leads_to_nothing_that_is_not_a_tasks(access: FolderAccess, runs: Path, target: str) -> None:
    (runs / "one/work/link").symlink_to(target)
    with pytest.raises(OutsideFault, match="may read"):
        open_source(access, runs / "one/work/link")
    (runs / "one/work/in").symlink_to("/wes/run/attachments")
    with pytest.raises(OutsideFault, match="may write"):
        access.check(runs / "one/work/in/new", write=True)


@pytest.mark.parametrize(
    "name",
    [
        "one/control/tes-token",
        "one/logs/stdout",
        "one/logs/tasks/t1/stdout",
        "one",
        "two/work/w",
        "two/attachments/a",
        "two/control/tes-token",
        "",
    ],
)
def test_a_task_reads_nothing_else_of_its_run_and_nothing_of_another(
    access: FolderAccess, runs: Path, name: str
) -> None:
    with pytest.raises(OutsideFault, match="may read"):
        open_source(access, runs / name)
    with pytest.raises(OutsideFault, match="may read"):
        access.check(runs / name, write=False)


def test_a_task_writes_to_work_and_to_its_own_logs(access: FolderAccess, runs: Path) -> None:
    for name in ("one/work", "one/work/new/folder", "one/logs/tasks/t1"):
        access.check(runs / name, write=True)
    with opened_for_writing(access, runs / "one/work/new/folder") as (fd, missing):
        assert (opened_path(fd), missing) == (runs / "one/work", ["new", "folder"])
    with opened_for_writing(access, runs / "one/logs/tasks/t1") as (fd, missing):
        assert (opened_path(fd), missing) == (runs / "one/logs/tasks/t1", [])


@pytest.mark.parametrize(
    "name",
    [
        "one/attachments",
        "one/control",
        "one/logs",
        "one/logs/tasks/t2",
        "one",
        "two/work",
        "two/logs/tasks/t1",
        "../data/folder",
    ],
)
def test_a_task_writes_nowhere_else(access: FolderAccess, runs: Path, name: str) -> None:
    folder = Path(os.path.normpath(runs / name))
    with pytest.raises(OutsideFault, match="may write"):
        access.check(folder, write=True)
    with pytest.raises(OutsideFault, match="may write"), opened_for_writing(access, folder):
        pass


def test_a_task_without_the_tag_of_a_run_has_nothing_of_any(runs: Path) -> None:
    for tags in ({}, {TAG_TASK: "t1"}, {"other": "one"}):
        access = allowed_folders((), (runs.parent / "data",), runs).of(tags)
        with pytest.raises(OutsideFault):
            open_source(access, runs / "one/work/w")
        assert read(access, runs.parent / "data/folder/d") == "data"


def test_a_run_without_a_task_has_no_logs_to_write_to(runs: Path) -> None:
    access = allowed_folders((), (), runs).of({TAG_RUN: "one"})
    access.check(runs / "one/work/x", write=True)
    with pytest.raises(OutsideFault):
        access.check(runs / "one/logs/tasks/t1/x", write=True)


@pytest.mark.parametrize("value", ["", ".", "..", "one/../two", "two/work", "/", "a\0b", "-x", ".staging", "x" * 65])
def test_a_tag_that_is_no_id_is_refused_by_its_name(runs: Path, value: str) -> None:
    allowed = allowed_folders((), (), runs)
    with pytest.raises(InvalidField, match=r"tags\.wes\.run_id"):
        allowed.of({TAG_RUN: value, TAG_TASK: "t1"})
    with pytest.raises(InvalidField, match=r"tags\.wes_task"):
        allowed.of({TAG_RUN: "one", TAG_TASK: value})


def test_without_a_folder_of_runs_tags_mean_nothing(runs: Path) -> None:
    access = allowed_folders((runs / "one/work",), ()).of({TAG_RUN: "../two", TAG_TASK: "/"})
    assert read(access, runs / "one/work/w") == "one work/w"
    with pytest.raises(OutsideFault):
        open_source(access, runs / "two/work/w")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("w", "one work/w"),
        ("./sub/../w", "one work/w"),
        ("../attachments/a", "one attachments/a"),
        ("../../one/attachments/a", "one attachments/a"),
        ("../../../data/folder/d", "data"),
        ("{runs}/one/work/w", "one work/w"),
        ("{runs}/one/work/sub/../w", "one work/w"),
        ("{runs}/one/work/back/attachments/a", "one attachments/a"),
        ("{data}/folder/d", "data"),
        ("{data}/link", "data"),
        ("again", "one work/w"),
    ],
)
def test_links_that_stay_in_what_is_allowed_are_followed(
    access: FolderAccess, runs: Path, target: str, text: str
) -> None:
    (runs / "one/work/sub").mkdir()
    (runs / "one/work/again").symlink_to("w")
    (runs / "one/work/back").symlink_to("..")
    (runs.parent / "data/link").symlink_to("folder/d")
    (runs / "one/work/link").symlink_to(target.format(runs=runs, data=runs.parent / "data"))
    assert read(access, runs / "one/work/link") == text


@pytest.mark.parametrize(
    "target",
    [
        "../control/tes-token",
        "../../two/work/w",
        "../../../runs/two/work/w",
        "{runs}/two/work/w",
        "{runs}/one/work/../control/tes-token",
        "{runs}/one/work/sub/../../control/tes-token",
        "{runs}/one/attachments/../../two/work/w",
        "/proc/self/root{runs}/two/work/w",
        "/etc/passwd",
        "out",
        "{runs}/one/work/out",
        "../../../../../../../../../../../../etc/passwd",
    ],
)
def test_links_that_leave_are_not_followed(access: FolderAccess, runs: Path, target: str) -> None:
    (runs / "one/work/sub").mkdir()
    (runs / "one/work/out").symlink_to("../control/tes-token")
    (runs / "one/work/link").symlink_to(target.format(runs=runs))
    with pytest.raises(OutsideFault):
        open_source(access, runs / "one/work/link")
    with pytest.raises(OutsideFault):
        access.check(runs / "one/work/link", write=False)
    with pytest.raises(OutsideFault), opened_for_writing(access, runs / "one/work/link/x/y"):
        pass


def test_a_link_that_leaves_does_not_tell_whether_there_is_anything(access: FolderAccess, runs: Path) -> None:
    (runs / "one/work/there").symlink_to(runs / "two/work/w")
    (runs / "one/work/not").symlink_to(runs / "two/work/nothing")
    for name in ("there", "not"):
        with pytest.raises(OutsideFault):
            open_source(access, runs / "one/work" / name)


def test_a_loop_of_links_ends(access: FolderAccess, runs: Path) -> None:
    (runs / "one/work/a").symlink_to("b")
    (runs / "one/work/b").symlink_to("a")
    with pytest.raises(TaskFault, match="Too many levels"):
        open_source(access, runs / "one/work/a")


@pytest.mark.parametrize("name", ["work", "../one"])
def test_a_run_whose_own_folders_became_links_has_none(access: FolderAccess, runs: Path, name: str) -> None:
    folder = Path(os.path.normpath(runs / "one" / name))
    folder.rename(runs / "away")
    folder.symlink_to(runs / "two" if name == "../one" else runs / "two/work")
    with pytest.raises(TaskFault):
        open_source(access, runs / "one/work/w")
    with pytest.raises(OSError, match="Not a directory"), opened_for_writing(access, runs / "one/work/x") as (fd, _):
        os.mkdir("x", dir_fd=fd)
    assert not (runs / "two/work/x").exists()


def test_a_folder_swapped_for_a_link_while_it_is_opened_gains_nothing(
    access: FolderAccess, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / "one/work/sub").mkdir()
    (runs / "one/work/sub/w").write_text("own")
    plain_open = os.open

    def swapped(path: str, flags: int, *rest: int, **options: int) -> int:
        found = plain_open(path, flags, *rest, **options)
        if path == "sub":
            (runs / "one/work/sub").rename(runs / "one/work/was")
            (runs / "one/work/sub").symlink_to(runs / "two/work")
        return found

    monkeypatch.setattr(os, "open", swapped)
    assert read(access, runs / "one/work/sub/w") == "own"


def test_an_allowed_folder_counts_under_each_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_text("x")
    (tmp_path / "named").symlink_to("real")
    access = allowed_folders((tmp_path / "named",), ()).of({})
    for name in ("named/x", "real/x"):
        assert read(access, tmp_path / name) == "x"
        access.check(tmp_path / name, write=True)
    with pytest.raises(OutsideFault):
        access.check(tmp_path / "realx", write=True)


def test_runs_may_lie_behind_a_link_of_the_operators(runs: Path) -> None:
    (runs.parent / "named").symlink_to("runs")
    access = allowed_folders((), (), runs.parent / "named").of({TAG_RUN: "one", TAG_TASK: "t1"})
    for name in ("named/one/work/w", "runs/one/work/w"):
        assert read(access, runs.parent / name) == "one work/w"


def test_only_data_of_the_operators_can_be_mounted_where_it_lies(tmp_path: Path) -> None:
    for name in ("data", "data/written", "allowed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    access = allowed_folders((tmp_path / "allowed", tmp_path / "data/written"), (tmp_path / "data",)).of({})
    for name, fixed in (("data/x", True), ("data/written/x", False), ("allowed/x", False)):
        with opened_source(access, tmp_path / name) as source:
            assert source.fixed is fixed


def test_what_is_neither_a_file_nor_a_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    os.mkfifo(tmp_path / "pipe")
    access = allowed_folders((), (tmp_path,)).of({})
    with opened_source(access, tmp_path / "file") as source:
        assert (source.path, source.size, source.is_folder) == (tmp_path / "file", 3, False)
    for name, problem in (("pipe", "neither a file nor a folder"), ("none", "can't be opened")):
        with pytest.raises(TaskFault, match=problem):
            open_source(access, tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can stand for somebody else")
def test_modes_decide_what_another_user_may_read(tmp_path: Path) -> None:
    identity = foreign_identity(64321)
    for mode, owner, expected in ((0o600, 0, False), (0o604, 0, True), (0o400, 64321, True), (0o044, 64321, False)):
        path = tmp_path / f"{mode}-{owner}"
        path.write_text("x")
        path.chmod(mode)
        os.chown(path, owner, -1)
        with opened_source(allowed_folders((), (tmp_path,)).of({}), path) as source:
            assert readable(identity, source.fd) is expected


def test_no_symlink_is_entered(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="link"), folder_beneath(tmp_path, ("link",), OWN):
        pass
    with folder_beneath(tmp_path, ("real", "new", "newer"), OWN):
        assert (tmp_path / "real/new/newer").is_dir()
    with pytest.raises(FileNotFoundError), folder_beneath(tmp_path, ("none",)):
        pass

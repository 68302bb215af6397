"""Files of a run by way of a store, which is one in memory."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import pytest

from common.errors import ObjectStoreFailure
from common.run_root import DataLocation, RunLocation
from gateway.run_objects import beginnings
from gateway.translation import DataElsewhere, UnusableInput, UnusableOutput
from tes.task import TAG_OUTPUTS, TaskState
from tests.unit.gateway.conftest import WORK, Run, out


def test_a_file_is_sent_once_whatever_its_name(run: Run) -> None:
    run.write("a", "same")
    run.write("a.txt", "same")
    run.write("other #%", "other")
    task = run.sent(run.input("a"), run.input("a.txt"), run.input("other%20%23%25"))
    again = run.sent(run.input("a"))
    urls = [item["url"] for item in task["inputs"]]
    assert [run.stores.content(url) for url in urls] == [b"same", b"same", b"other"]
    assert urls[0] == urls[1] == again["inputs"][0]["url"]
    assert sorted(run.stores.sent) == sorted(set(urls))
    assert beginnings(urls[1:]) == frozenset()


def test_what_a_task_does_not_read_from_the_run_stays_as_it_is(run: Run) -> None:
    inputs = [{"url": "s3://hospital/x", "path": "/in/x"}, {"content": "text", "path": "/in/y"}]
    task = run.sent(*inputs, outputs=[{"url": "s3://elsewhere/y", "path": "/y", "type": "FILE"}])
    assert task["inputs"] == inputs
    assert task["outputs"][0]["url"] == "s3://elsewhere/y"
    assert run.stores.sent == []


def test_an_empty_text_is_an_empty_file_in_the_store_as_funnel_takes_it_for_none(run: Run) -> None:
    (item,) = run.sent({"content": "", "path": "/in/y", "type": "FILE"})["inputs"]
    assert (item["path"], "content" in item, run.stores.content(item["url"])) == ("/in/y", False, b"")


def test_a_folder_is_sent_as_its_files(run: Run) -> None:
    run.write("d/a", "a")
    run.write("d/deep/er/b c", "b")
    (run.folder.attachments / "att").write_text("att")
    (run.data / "big").write_text("big")
    (run.folder.work / "d" / "link").symlink_to("/wes/run/attachments/att")
    (run.folder.work / "d" / "data").symlink_to(run.data / "big")
    task = run.sent(run.input("d", "DIRECTORY"))
    found = {item["path"]: run.stores.content(item["url"]) for item in task["inputs"]}
    assert found == {
        "/in/d/a": b"a",
        "/in/d/deep/er/b c": b"b",
        "/in/d/link": b"att",
        "/in/d/data": b"big",
    }
    assert all(item["type"] == "FILE" for item in task["inputs"])


def test_an_empty_folder_comes_into_being_by_an_empty_file(run: Run) -> None:
    run.write("d/a", "a")
    (run.folder.work / "d" / "b").mkdir()
    (run.folder.work / "empty").mkdir()
    task = run.sent(run.input("empty", "DIRECTORY"), run.input("d", "DIRECTORY"))
    found = {item["path"]: run.stores.content(item["url"]) for item in task["inputs"]}
    assert found == {"/in/empty/.keep": b"", "/in/d/a": b"a", "/in/d/b/.keep": b""}


@pytest.mark.parametrize("target", ["/etc/passwd", "/wes/run/control/secret", "../../control/secret", "../../../other"])
def test_a_folder_never_brings_what_lies_elsewhere(run: Run, target: str) -> None:
    (run.folder.control / "secret").write_text("secret")
    (run.folder.root.parent / "other").write_text("secret")
    run.write("d/a", "a")
    (run.folder.work / "d" / "link").symlink_to(target)
    (run.folder.work / "d" / "folder").symlink_to(Path(target).parent)
    task = run.sent(run.input("d", "DIRECTORY"))
    assert [item["path"] for item in task["inputs"]] == ["/in/d/a"]
    assert [run.stores.content(url) for url in run.stores.sent] == [b"a"]


@pytest.mark.parametrize("name", ["link", "../control/secret"])
def test_a_link_in_the_place_of_a_checked_file_is_not_followed(run: Run, name: str) -> None:
    (run.folder.control / "secret").write_text("secret")
    (run.folder.work / "link").symlink_to(run.folder.control / "secret")
    url = f"{WORK}/link" if name == "link" else "file:///wes/run/control/secret"
    with pytest.raises(UnusableInput):
        run.sent({"url": url, "path": "/in/x"})
    assert run.stores.sent == []


def test_a_folder_that_leads_back_to_itself_is_told(run: Run) -> None:
    run.write("d/a", "a")
    (run.folder.work / "d" / "again").symlink_to("/wes/run/work/d")
    with pytest.raises(UnusableInput, match="too deep, or leads back to itself"):
        run.sent(run.input("d", "DIRECTORY"))


def test_what_is_not_there_is_told_by_the_path_that_the_engine_knows(run: Run) -> None:
    with pytest.raises(UnusableInput, match=r"^/wes/run/work/nothing can't be read: No such file") as told:
        run.sent(run.input("nothing"))
    assert str(run.folder.root) not in str(told.value)


def test_outputs_come_back_and_are_never_sent_again(run: Run) -> None:
    run.store(0, "", b"one")
    run.store(1, "x/y z", b"two")
    run.store(1, "x/e", b"")
    run.fetch(out("a"), out("d", "DIRECTORY"), out("nothing", "DIRECTORY"))
    assert (run.folder.work / "a").read_bytes() == b"one"
    assert (run.folder.work / "d/x/y z").read_bytes() == b"two"
    assert (run.folder.work / "d/x/e").read_bytes() == b""
    assert list((run.folder.work / "nothing").iterdir()) == []
    run.stores.sent.clear()
    (run.folder.work / "a").rename(run.folder.work / "moved")
    run.write("copied", (run.folder.work / "moved").read_bytes())
    task = run.sent(run.input("moved"), run.input("copied"), run.input("d", "DIRECTORY"))
    assert run.stores.sent == []
    assert sorted(run.stores.content(item["url"]) for item in task["inputs"]) == [b"", b"one", b"one", b"two"]


def test_an_output_that_is_changed_afterwards_is_sent(run: Run) -> None:
    run.store(0, "", b"one")
    run.fetch(out("a"))
    (run.folder.work / "a").write_bytes(b"new")
    (item,) = run.sent(run.input("a"))["inputs"]
    assert run.stores.content(item["url"]) == b"new"


def test_an_output_with_which_another_begins_gets_a_key_of_its_own_by_a_copy(run: Run) -> None:
    url = run.store(0, "a", b"short")
    run.store(0, "a.txt", b"long")
    run.fetch(out("d", "DIRECTORY"))
    run.stores.sent.clear()
    task = run.sent(run.input("d", "DIRECTORY"))
    urls = {item["path"]: item["url"] for item in task["inputs"]}
    assert urls["/in/d/a"] == run.files.objects.copy(url)
    assert run.stores.content(urls["/in/d/a"]) == b"short"
    assert run.stores.sent == []


def test_a_file_is_replaced_whole_and_its_links_are_not_followed(run: Run) -> None:
    secret = run.folder.control / "secret"
    secret.write_text("secret")
    (run.folder.work / "a").symlink_to(secret)
    (run.folder.work / "hard").write_text("before")
    os.link(run.folder.work / "hard", run.folder.work / "b")
    run.store(0, "", b"new")
    run.store(1, "", b"new")
    run.fetch(out("a"), out("b"))
    assert secret.read_text() == "secret"
    assert not (run.folder.work / "a").is_symlink()
    assert (run.folder.work / "hard").read_text() == "before"
    assert sorted(path.name for path in run.folder.work.iterdir()) == ["a", "b", "hard"]


def test_a_folder_that_became_a_link_is_told(run: Run) -> None:
    (run.folder.work / "d").symlink_to(run.folder.control)
    run.store(0, "x", b"x")
    with pytest.raises(UnusableOutput, match=r"^/wes/run/work/d can't be written to"):
        run.fetch(out("d", "DIRECTORY"))
    assert list(run.folder.control.iterdir()) == []


def test_what_a_task_did_not_declare_stays_in_the_store(run: Run) -> None:
    run.store(0, "", b"x")
    run.store(1, "below/a/file", b"x")
    run.store(2, "", b"a file that should be a folder")
    run.store(7, "", b"x")
    run.fetch(out("a"), out("b"), out("c", "DIRECTORY"))
    assert sorted(path.name for path in run.folder.work.iterdir()) == ["a", "c"]


def test_outputs_never_take_more_than_the_run_may_have(run: Run) -> None:
    run.store(0, "", b"x" * 6_000)
    run.fetch(out("a"))
    with pytest.raises(UnusableOutput, match=r"more than the run may still have on disk.*WES_RUN_DISK_GB"):
        run.fetch(out("a"))
    assert len(run.stores.read) == 1


def test_a_task_with_too_many_files_is_told(run: Run) -> None:
    for number in range(51):
        run.store(0, str(number), b"")
    with pytest.raises(UnusableOutput, match="more than 50 output files"):
        run.fetch(out("d", "DIRECTORY"))


def test_what_a_cancelled_task_stored_is_removed(run: Run) -> None:
    url = run.store(0, "", b"x")
    run.fetch(out("a"), state=TaskState.CANCELED)
    assert run.stores.urls(url.rpartition("/")[0]) == []
    assert not (run.folder.work / "a").exists()


def test_a_store_that_is_away_is_told_and_the_next_try_begins_anew(run: Run) -> None:
    run.write("a", "a")
    run.stores.away = True
    with pytest.raises(ObjectStoreFailure):
        run.sent(run.input("a"))
    run.stores.away = False
    assert run.stores.content(run.sent(run.input("a"))["inputs"][0]["url"]) == b"a"


def test_an_engine_is_told_its_own_names(run: Run) -> None:
    task = run.task(outputs=[out("a"), out("d", "DIRECTORY")])
    objects = run.files.objects
    stored = f"{objects.output(task.id, 1, 1)}/x y"
    document: Any = {
        "inputs": [{"url": "s3://runs/far/x"}],
        "outputs": [{"url": "s3://runs/far/y"}],
        "logs": [
            {"logs": [], "outputs": [{"url": stored}], "system_logs": [f"missing: {objects.output(task.id, 1, 0)}"]}
        ],
    }
    shown: Any = run.files.for_engine(task, document)
    assert "s3://" not in str(shown)
    assert shown["logs"][0]["outputs"] == [{"url": f"{WORK}/d/x%20y"}]
    assert shown["logs"][0]["system_logs"] == [f"missing: {WORK}/a"]


def test_data_that_the_tes_has_itself_are_never_sent(run: Run) -> None:
    urls = {run.data: "s3://hospital/data", run.data / "web": "https://web/x"}
    files = replace(run.files, data=DataElsewhere(urls=urls))
    run.write("a", "a")
    names = ("b c#%", "", "web/b c#%", "web")
    inputs: list[Any] = [{"url": f"file://{run.data}/{quote(name)}", "path": "/in"} for name in names]
    task: Any = asyncio.run(files.for_tes(run.task(inputs=[run.input("a"), *inputs])))
    assert [item["url"] for item in task["inputs"][1:]] == [
        "s3://hospital/data/b c#%",
        "s3://hospital/data",
        "https://web/x/b%20c%23%25",
        "https://web/x",
    ]
    assert len(run.stores.sent) == 1


def test_data_are_found_by_another_name_of_their_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(run.data)
    data = DataElsewhere(urls={tmp_path / "alias": "s3://hospital/data"})
    assert data.url_of(DataLocation(path=run.data / "x")) == "s3://hospital/data/x"
    assert data.url_of(DataLocation(path=tmp_path / "alias" / "x")) == "s3://hospital/data/x"
    assert data.url_of(DataLocation(path=tmp_path / "database" / "x")) is None
    assert data.url_of(RunLocation(path=PurePosixPath("work/x"))) is None


def test_a_task_that_leaves_only_what_is_declared_is_told_that_a_store_takes_it(run: Run) -> None:
    executors = [{"image": "x", "command": ["x"], "env": {"A": "1"}}]
    task = run.task(executors=executors, tags={TAG_OUTPUTS: "declared"})
    assert asyncio.run(run.files.for_tes(task))["executors"][0]["env"] == {"A": "1", "WES_FILES": "store"}
    assert asyncio.run(run.files.for_tes(run.task(executors=executors)))["executors"] == executors

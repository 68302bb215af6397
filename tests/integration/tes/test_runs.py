"""The tasks of runs on one server: each has its own run's folders, and nothing of another's."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tes.conftest import make_open_folder
from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server

UID = 64321 if os.geteuid() == 0 else os.geteuid()


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[TesServer, Path]]:
    """A server and the folder of the runs `one` and `two`."""
    top = make_open_folder()
    root = top / "runs"
    for run in ("one", "two"):
        for name in ("attachments/a", "work/w", "control/tes-token", "logs/tasks/t1/stdout"):
            (root / run / name).parent.mkdir(parents=True, exist_ok=True)
            (root / run / name).write_text(f"{run} {name}")
    for path in root.rglob("*"):
        os.chown(path, UID, -1)
    with tes_server(top, TES_RUNS=str(root)) as server:
        yield server, root
    shutil.rmtree(top, ignore_errors=True)


def of_run(run: str, task: str = "t1", **fields: Any) -> dict[str, Any]:
    return {
        "executors": [{"image": "i", "command": ["cat", "/in/x"]}],
        "tags": {"wes.run_id": run, "wes_task": task},
    } | fields


def an_input(path: Path) -> dict[str, Any]:
    return {"inputs": [{"url": path.as_uri(), "path": "/in/x"}]}


def test_a_task_reads_its_run_and_writes_to_it_and_to_its_logs(runs: tuple[TesServer, Path]) -> None:
    tes, root = runs
    for name in ("attachments/a", "work/w"):
        outputs = [{"url": (root / "one/work/new/copy").as_uri(), "path": "/out/copy"}]
        outputs += [{"url": (root / "one/logs/tasks/t9/stdout").as_uri(), "path": "/out/copy"}]
        (root / "one/logs/tasks/t9").mkdir(exist_ok=True)
        executors = [{"image": "i", "command": ["cp", "/in/x", "/out/copy"]}]
        task = tes.ended(
            tes.create(of_run("one", "t9", executors=executors, outputs=outputs, **an_input(root / "one" / name)))
        )
        assert task["state"] == "COMPLETE", task
        assert (root / "one/work/new/copy").read_text() == f"one {name}"
        assert (root / "one/logs/tasks/t9/stdout").read_text() == f"one {name}"


@pytest.mark.parametrize("name", ["two/work/w", "two/attachments/a", "two/control/tes-token", "one/control/tes-token"])
def test_a_task_that_names_a_file_of_another_run_is_refused(runs: tuple[TesServer, Path], name: str) -> None:
    tes, root = runs
    for tags in ({"wes.run_id": "one", "wes_task": "t1"}, {"wes.run_id": "three"}, {}):
        for fields in (an_input(root / name), {"outputs": [{"url": (root / name).as_uri(), "path": "/out/x"}]}):
            answer = tes.client.post("/tasks", json=of_run("one", **fields) | {"tags": tags})
            assert answer.status_code == 400, answer.text
            assert "is not inside a folder that this task may" in answer.text


@pytest.mark.parametrize("run", ["..", "one/../two", "", "."])
def test_a_run_that_is_no_name_of_a_folder_is_refused(runs: tuple[TesServer, Path], run: str) -> None:
    answer = runs[0].client.post("/tasks", json=of_run(run))
    assert (answer.status_code, "tags.wes.run_id" in answer.text) == (400, True)


def test_a_link_that_is_made_while_the_task_waits_leads_nowhere(runs: tuple[TesServer, Path]) -> None:
    tes, root = runs
    (root / "one/work/later").mkdir(exist_ok=True)
    (root / "one/work/out").mkdir(exist_ok=True)
    holds = tes.create(
        {"executors": [{"image": "i", "command": ["sleep", "3"]}], "resources": {"cpu_cores": os.cpu_count()}}
    )
    outputs = [{"url": (root / "one/work/out/new").as_uri(), "path": "/out/new"}]
    command = ["sh", "-c", "cat /in/x; touch /out/new"]
    executors = [{"image": "i", "command": command}]
    reads = tes.create(of_run("one", executors=executors, **an_input(root / "one/work/later/w")))
    writes = tes.create(of_run("one", executors=executors, outputs=outputs, **an_input(root / "one/work/w")))
    for name in ("later", "out"):
        (root / "one/work" / name).rmdir()
        (root / "one/work" / name).symlink_to(root / "two/work")
    assert tes.ended(holds)["state"] == "COMPLETE"
    for task_id, verb in ((reads, "read"), (writes, "write to")):
        task = tes.ended(task_id)
        assert task["state"] == "SYSTEM_ERROR", task
        assert f"is not inside a folder that this task may {verb}" in system_logs(task)
        assert "two work/w" not in str(task)
    assert not (root / "two/work/new").exists()


def test_an_input_of_the_run_is_not_copied_and_can_not_be_changed(runs: tuple[TesServer, Path]) -> None:
    tes, root = runs
    source = root / "one/work/w"
    source.chmod(0o666)
    executors = [{"image": "i", "command": ["sh", "-c", "stat -c %i /in/x; echo changed > /in/x"]}]
    task = tes.ended(tes.create(of_run("one", executors=executors, **an_input(source))))
    assert log_of(task)["stdout"].strip() == str(source.stat().st_ino), task
    assert "Read-only" in log_of(task)["stderr"]
    assert source.read_text() == "one work/w"

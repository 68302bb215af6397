"""The runner without isolation: container paths are mapped to the task's own folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server


@pytest.fixture
def plain(own_folder: Path) -> Iterator[TesServer]:
    with tes_server(own_folder, TES_RUNNER="process", TES_UNSANDBOXED="1") as server:
        yield server


def test_it_needs_the_switch(own_folder: Path) -> None:
    server = TesServer(own_folder, TES_RUNNER="process")
    server.alone = True
    with pytest.raises(AssertionError, match="TES_UNSANDBOXED"):
        server.start()


def test_declared_paths_work_in_commands_variables_and_texts(plain: TesServer) -> None:
    (plain.readable / "in.txt").write_text("hello\n")
    script = "cat /data/in.txt $EXTRA > /out/result/all.txt\npwd > /out/pwd\nid -u > /out/id\n"
    task = plain.run(
        "sh",
        "/data/script.sh",
        executor={"env": {"EXTRA": "/data/more.txt"}, "workdir": "/work", "stdout": "/wes/logs/stdout"},
        inputs=[
            {"url": str(plain.readable / "in.txt"), "path": "/data/in.txt"},
            {"content": "more\n", "path": "/data/more.txt"},
            {"content": script, "path": "/data/script.sh"},
        ],
        volumes=["/out/result"],
        outputs=[
            {"url": str(plain.allow / "all.txt"), "path": "/out/result/all.txt"},
            {"url": str(plain.allow / "pwd"), "path": "/out/pwd"},
            {"url": str(plain.allow / "id"), "path": "/out/id"},
        ],
    )
    assert task["state"] == "COMPLETE", task["logs"]
    assert (plain.allow / "all.txt").read_text() == "hello\nmore\n"
    assert (plain.allow / "pwd").read_text().endswith("/tree/work\n")
    assert int((plain.allow / "id").read_text()) == (plain.allow / "id").stat().st_uid != 0
    assert "without any isolation" in system_logs(task)
    assert plain.client.get("/service-info").json()["environment"] == "process"


def test_outputs_may_be_links_to_inputs_and_to_other_files(plain: TesServer) -> None:
    (plain.readable / "in.txt").write_text("hello\n")
    task = plain.run(
        "sh",
        "-c",
        "ln -s /data/in.txt /out/a; echo x > /out/c; ln -s /out/c /out/b; ln -s /etc/passwd /out/d/p; cat /out/d/p",
        inputs=[{"url": str(plain.readable / "in.txt"), "path": "/data/in.txt"}],
        outputs=[
            {"url": str(plain.allow / "a"), "path": "/out/a"},
            {"url": str(plain.allow / "b"), "path": "/out/b"},
            {"url": str(plain.allow / "d"), "path": "/out/d", "type": "DIRECTORY"},
        ],
    )
    assert task["state"] == "COMPLETE", task["logs"]
    assert (plain.allow / "a").read_text() == "hello\n"
    assert (plain.allow / "b").read_text() == "x\n"
    assert list((plain.allow / "d").iterdir()) == []


def test_exit_codes_signals_and_missing_commands_are_told(plain: TesServer) -> None:
    assert log_of(plain.run("sh", "-c", "exit 9"))["exit_code"] == 9
    assert log_of(plain.run("sh", "-c", "kill -KILL $$"))["exit_code"] == 137
    missing = plain.run("no-such-program")
    assert (missing["state"], log_of(missing)["exit_code"]) == ("EXECUTOR_ERROR", 127)


def test_variables_of_a_task_never_reach_a_process_of_the_server(plain: TesServer) -> None:
    library = plain.allow / "evil.so"
    task = plain.run("sh", "-c", "exit 0", executor={"env": {"LD_PRELOAD": str(library)}})
    assert log_of(task)["stderr"].count("evil.so") == 1

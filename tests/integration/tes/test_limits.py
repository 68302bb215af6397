"""Tasks that take too much: each is ended with a sentence, or can't, and a task beside it goes on."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.limits import limits_processes_per_namespace
from tests.container_engine import Docker, wanted
from tests.integration.tes.conftest import make_open_folder
from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server, until

EATERS = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(os.urandom(1024)) * (90 * 1024)
        time.sleep(60)
time.sleep(60)
"""
MEMORY = "the step used more memory than its limit of 0.25 GB (resources.ram_gb, or TES_MEMORY_GB)"
DISK = "the step used more disk than its limit of 0.05 GB (resources.disk_gb)"
LOG = "than its limit of 0.02 GB (TES_LOG_GB)"
FILL = "i=0; while :; do i=$((i+1)); head -c 4000000 /dev/zero > /out/part$i; done"
BOMB = "b() { b | b & }; b; sleep 2; exit 3"
SMALL: dict[str, Any] = {"resources": {"ram_gb": 0.25, "disk_gb": 0.05}, "volumes": ["/out"]}


@pytest.fixture(scope="module")
def small() -> Iterator[TesServer]:
    folder = make_open_folder()
    with tes_server(folder, TES_PROCESSES="40", TES_LOG_GB="0.02", TES_CPUS="8") as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["bubblewrap", "process"])
def limited(request: pytest.FixtureRequest, small: TesServer) -> Iterator[TesServer]:
    if request.param == "bubblewrap":
        yield small
        return
    folder = make_open_folder()
    plain = {"TES_RUNNER": "process", "TES_UNSANDBOXED": "1", "TES_LOG_GB": "0.02", "TES_CPUS": "8"}
    with tes_server(folder, **plain) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


def ended_for(tes: TesServer, sentence: str, *command: str, **task: Any) -> None:
    beside = tes.submit("sh", "-c", "sleep 2; echo done")
    ended = tes.run(*command, **{**SMALL, **task})
    assert ended["state"] == "EXECUTOR_ERROR", ended["logs"]
    assert sentence in system_logs(ended), ended["logs"]
    assert sentence in log_of(ended)["stderr"]
    assert log_of(ended)["exit_code"] == 137
    assert log_of(tes.ended(beside))["stdout"] == "done\n"


def test_the_memory_of_all_processes_of_a_task_is_limited(limited: TesServer) -> None:
    ended_for(limited, MEMORY, "python3", "-c", EATERS)


def test_the_disk_of_a_task_is_limited(limited: TesServer) -> None:
    ended_for(limited, DISK, "sh", "-c", FILL)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_log_is_limited_whether_or_not_it_is_kept(small: TesServer, stream: str) -> None:
    command = "yes" if stream == "stdout" else "yes >&2"
    no_disk = {"ram_gb": 0.25}
    ended_for(small, f"wrote more to {stream} {LOG}", "sh", "-c", command, resources=no_disk)
    kept = {stream: f"/wes-logs/run/{stream}"}
    ended_for(small, f"wrote more to {stream} {LOG}", "sh", "-c", command, executor=kept, resources=no_disk)


def test_a_stream_that_is_the_data_of_a_task_is_no_log(small: TesServer) -> None:
    outputs = [{"url": str(small.allow / "data"), "path": "/out/data"}]
    task = small.run("head", "-c", "40000000", "/dev/zero", executor={"stdout": "/out/data"}, outputs=outputs)
    assert task["state"] == "COMPLETE", task["logs"]
    assert (small.allow / "data").stat().st_size == 40_000_000


def test_a_file_larger_than_the_disk_of_a_task_can_not_be_made(small: TesServer) -> None:
    task = small.run("truncate", "-s", "8T", "/out/big", **SMALL)
    assert task["state"] == "EXECUTOR_ERROR"
    assert log_of(task)["exit_code"] != 0


@pytest.mark.skipif(
    not limits_processes_per_namespace(), reason="this kernel counts the processes of all sandboxes together"
)
def test_a_fork_bomb_reaches_its_limit_and_nothing_else(small: TesServer) -> None:
    bomb = small.submit("sh", "-c", BOMB, **SMALL)
    beside = small.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; echo done")
    assert log_of(beside)["stdout"] == "done\n", beside["logs"]
    ended = small.ended(bomb)
    assert ended["state"] == "EXECUTOR_ERROR"
    assert "annot fork" in log_of(ended)["stderr"]


def test_a_library_of_a_task_is_not_loaded_before_its_limits_hold(small: TesServer) -> None:
    env = {"LD_PRELOAD": "/w/evil.so"}
    task = small.run("sh", "-c", "exit 0", executor={"env": env})
    assert log_of(task)["stderr"].count("evil.so") == 1


@pytest.fixture(scope="module")
def contained(docker: Docker) -> Iterator[TesServer]:
    folder = make_open_folder()
    small = {"TES_PROCESSES": "40", "TES_LOG_GB": "0.02", "TES_CPUS": "8"}
    with tes_server(folder, TES_RUNNER="docker", **small, **docker.environment) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


needs_docker = pytest.mark.skipif(not wanted(), reason="no container engine can be had here (WES_TEST_DOCKER=0)")
LINES = "x=$(head -c 8000 /dev/zero | tr '\\0' x); while :; do echo $x; done"
"""Long ones: an engine takes as long for each of a short one."""
FILL_MEMORY = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); y=$x$x$x; z=$y$y$y; sleep 60"


@needs_docker
@pytest.mark.parametrize(
    ("command", "sentence"),
    [(FILL_MEMORY, MEMORY), (FILL, DISK), (LINES, f"wrote more to stdout {LOG}")],
    ids=["memory", "disk", "log"],
)
def test_a_container_is_limited_too(contained: TesServer, docker: Docker, command: str, sentence: str) -> None:
    resources = SMALL["resources"] if command != LINES else {"ram_gb": 0.25}
    image = {"image": docker.image}
    beside = contained.submit("sh", "-c", "sleep 2; echo done", executor=image)
    ended = contained.run("sh", "-c", command, executor=image, **{**SMALL, "resources": resources})
    assert ended["state"] == "EXECUTOR_ERROR", ended["logs"]
    assert sentence in system_logs(ended), ended["logs"]
    assert log_of(ended)["exit_code"] == 137
    assert log_of(contained.ended(beside))["stdout"] == "done\n"


@needs_docker
def test_a_fork_bomb_in_a_container_reaches_its_limit(contained: TesServer, docker: Docker) -> None:
    image = {"image": docker.image}
    bomb = contained.submit("sh", "-c", BOMB, executor=image, **SMALL)
    beside = contained.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; echo done", executor=image)
    assert log_of(beside)["stdout"] == "done\n", beside["logs"]
    ended = contained.ended(bomb)
    assert ended["state"] == "EXECUTOR_ERROR"
    assert "fork" in log_of(ended)["stderr"]


@needs_docker
def test_a_container_has_limits_even_where_its_task_asks_for_none(contained: TesServer, docker: Docker) -> None:
    task_id = contained.submit("sh", "-c", "sleep 20", executor={"image": docker.image})
    name = f"wes-tes-{task_id}-0-0"
    wanted_fields = ("Memory", "PidsLimit", "CapDrop", "SecurityOpt", "LogConfig.Config")
    shape = " ".join(f"{{{{.HostConfig.{field}}}}}" for field in wanted_fields)
    until(lambda: contained.state(task_id) == "RUNNING", "it runs")
    until(lambda: name in docker("ps", "--all", "--format", "{{.Names}}"), "it is there")
    memory, pids, rest = docker("inspect", "--format", shape, name).split(maxsplit=2)
    contained.cancel(task_id)
    assert int(memory) > 1024**3
    assert pids == "40"
    assert rest.strip() == "[ALL] [no-new-privileges] map[max-size:40000000]"

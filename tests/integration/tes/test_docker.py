"""Tasks in containers of a real engine, which these tests start where none answers."""

import base64
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.container_engine import Docker, wanted
from tests.integration.tes.conftest import make_open_folder
from tests.integration.tes.server import TesServer, log_of, system_logs, tes_server, until

pytestmark = pytest.mark.skipif(not wanted(), reason="no container engine can be had here (WES_TEST_DOCKER=0)")

UID = 64321 if os.geteuid() == 0 else os.geteuid()
Containers = Callable[[str], list[str]]


@pytest.fixture
def image(docker: Docker) -> str:
    return docker.image


@pytest.fixture
def engine(docker: Docker) -> Mapping[str, str]:
    """What a TES needs to find the engine."""
    return {"HOME": os.environ.get("HOME", "/"), **docker.environment}


@pytest.fixture(scope="module")
def contained(docker: Docker) -> Iterator[TesServer]:
    folder = make_open_folder()
    with tes_server(folder, TES_RUNNER="docker", **docker.environment) as server:
        yield server
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def containers(docker: Docker) -> Containers:
    """Those of a task, running or not."""
    return lambda task_id: docker("ps", "--all", "--quiet", "--filter", f"label=wes-tes.task={task_id}").split()


def test_a_task_really_runs_in_its_image(contained: TesServer, image: str, containers: Containers) -> None:
    (contained.readable / "a,b.txt").write_text("input\n")
    task = contained.run(
        "sh",
        "-c",
        "cat /marker '/in/x,\"y.txt' > /out/x; id -u; cat /proc/net/dev | grep -c :; touch /in/y",
        executor={"image": image},
        inputs=[{"url": str(contained.readable / "a,b.txt"), "path": '/in/x,"y.txt'}],
        outputs=[{"url": str(contained.allow / "x"), "path": "/out/x"}],
        resources={"cpu_cores": 1, "ram_gb": 0.1},
    )
    assert log_of(task)["stdout"].split() == [str(UID), "1"], task["logs"]
    assert (contained.allow / "x").read_text() == "this is the image\ninput\n"
    assert (contained.allow / "x").stat().st_uid == UID
    assert "containers of docker" in system_logs(task)
    assert contained.client.get("/service-info").json()["environment"] == "docker"
    assert containers(task["id"]) == []


def test_stdin_streams_variables_and_workdir_arrive(contained: TesServer, image: str) -> None:
    env = {"PLAIN": "a b=c #d", "LINES": "one\ntwo", "PATH": "/usr/bin:/bin", "LD_PRELOAD": ""}
    task = contained.run(
        "sh",
        "-c",
        'cat; pwd; printf "%s|" "$PLAIN" "$LINES"; echo problem >&2; exit 5',
        executor={
            "image": image,
            "env": env,
            "stdin": "/in/x",
            "stdout": "/logs/out",
            "stderr": "/logs/err",
            "workdir": "/w",
        },
        inputs=[{"content": "hello\n", "path": "/in/x"}],
        outputs=[
            {"url": str(contained.allow / "out"), "path": "/logs/out"},
            {"url": str(contained.allow / "err"), "path": "/logs/err"},
        ],
    )
    assert (task["state"], log_of(task)["exit_code"]) == ("EXECUTOR_ERROR", 5), task["logs"]
    assert log_of(task)["stdout"] == "hello\n/w\na b=c #d|one\ntwo|"
    assert (contained.allow / "out").read_text() == "hello\n/w\na b=c #d|one\ntwo|"
    assert (contained.allow / "err").read_text() == "problem\n"


def test_memory_is_limited(contained: TesServer, image: str) -> None:
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    task = contained.run("sh", "-c", f"{limit}; true", executor={"image": image}, resources={"ram_gb": 0.25})
    # A gigabyte is 10^9 bytes; the kernel counts in pages.
    assert log_of(task)["stdout"].split() == [str(250_000_000 // 4096 * 4096)], task["logs"]


def test_a_canceled_container_is_gone(contained: TesServer, image: str, containers: Containers) -> None:
    task_id = contained.submit("sh", "-c", "trap '' TERM; echo up; sleep 1000", executor={"image": image})
    until(lambda: "up" in str(contained.get(task_id)["logs"]), "it runs")
    assert containers(task_id)
    contained.cancel(task_id)
    assert contained.ended(task_id)["state"] == "CANCELED"
    assert containers(task_id) == []


def test_a_cancel_that_races_the_start_leaves_no_container(
    contained: TesServer, image: str, containers: Containers
) -> None:
    for number in range(8):
        task_id = contained.submit("sleep", "1000", executor={"image": image})
        canceler = threading.Timer(number * 0.05, contained.cancel, [task_id])
        canceler.start()
        canceler.join()
        assert contained.ended(task_id)["state"] == "CANCELED"
        assert containers(task_id) == []


def test_a_running_container_is_found_again_after_kill_9(
    own_folder: Path, image: str, containers: Containers, engine: Mapping[str, str]
) -> None:
    with tes_server(own_folder, TES_RUNNER="docker", TES_CPUS="2", **engine) as tes:
        script = "echo before; until [ -e /out/go ]; do sleep 0.05; done; echo after > /out/x; echo after; exit 3"
        first = {"image": image, "command": ["sh", "-c", script], "stdout": "/out/log", "ignore_error": True}
        second = {"image": image, "command": ["cat", "/out/x"]}
        outputs = [{"url": str(tes.allow / "log"), "path": "/out/log"}]
        task_id = tes.create({"executors": [first, second], "outputs": outputs})
        ends_meanwhile = tes.submit("sh", "-c", "echo up; sleep 1; exit 4", executor={"image": image})
        for one, word in ((task_id, "before"), (ends_meanwhile, "up")):
            until(lambda one=one, word=word: word in str(tes.get(one)["logs"]), "it runs")  # type: ignore[misc]
        tes.end(signal.SIGKILL)
        time.sleep(1.2)
        tes.start()
        assert tes.state(task_id) == "RUNNING"
        until(lambda: "before" in str(tes.get(task_id)["logs"]), "its output can be read again")
        (tes.data / "tasks" / task_id / "tree/out/go").touch()
        task = tes.ended(task_id)
        assert task["state"] == "COMPLETE", task["logs"]
        assert [one["stdout"] for one in task["logs"][0]["logs"]] == ["before\nafter\n", "after\n"]
        assert [one["exit_code"] for one in task["logs"][0]["logs"]] == [3, 0]
        assert (tes.allow / "log").read_text() == "before\nafter\n"
        assert "went on with it" in system_logs(task)
        assert log_of(tes.ended(ends_meanwhile))["exit_code"] == 4
        assert containers(task_id) == containers(ends_meanwhile) == []


def test_a_signal_to_the_server_leaves_no_container(
    own_folder: Path, image: str, containers: Containers, engine: Mapping[str, str]
) -> None:
    with tes_server(own_folder, TES_RUNNER="docker", **engine) as tes:
        task_id = tes.submit("sh", "-c", "echo up; sleep 1000", executor={"image": image})
        until(lambda: "up" in str(tes.get(task_id)["logs"]), "it runs")
        assert tes.end(signal.SIGTERM) == 0
        assert containers(task_id) == []


def test_without_its_image_a_task_fails_unless_the_operator_wants_another_way(
    own_folder: Path, image: str, engine: Mapping[str, str]
) -> None:
    missing = "localhost:1/no/such-image:1"
    settings = {"TES_PULL_SECONDS": "30", **engine}
    with tes_server(own_folder, TES_RUNNER="auto", **settings) as tes:
        task = tes.run("true", executor={"image": missing})
        assert task["state"] == "SYSTEM_ERROR"
        for told in (missing, f"docker pull {missing}", "TES_IMAGE_FALLBACK=1"):
            assert told in system_logs(task)
        assert "this is the image" in str(tes.run("cat", "/marker", executor={"image": image})["logs"])
    with tes_server(own_folder, TES_RUNNER="auto", TES_IMAGE_FALLBACK="1", **settings) as tes:
        task = tes.run("true", executor={"image": missing})
        assert task["state"] == "COMPLETE", task["logs"]
        assert f"the image {missing} was not used" in system_logs(task)
        assert "run in bubblewrap" in system_logs(task)
        assert "this is the image" in str(tes.run("cat", "/marker", executor={"image": image})["logs"])


def test_an_engine_that_is_away_at_a_restart_costs_only_time(
    own_folder: Path, image: str, containers: Containers, engine: Mapping[str, str]
) -> None:
    with tes_server(own_folder, TES_RUNNER="auto", **engine) as tes:
        script = "echo up; until [ -e /out/go ]; do sleep 0.05; done; echo done"
        task_id, other = (tes.submit("sh", "-c", script, executor={"image": image}, volumes=["/out"]) for _ in "ab")
        for one in (task_id, other):
            until(lambda one=one: "up" in str(tes.get(one)["logs"]), "it runs")  # type: ignore[misc]
        tes.end(signal.SIGKILL)
        there = dict(tes.settings)
        tes.settings["DOCKER_HOST"] = f"unix://{own_folder}/nobody"
        tes.start()
        tes.cancel(other)
        assert (tes.state(task_id), tes.state(other)) == ("RUNNING", "CANCELING")
        tes.end(signal.SIGKILL)
        tes.settings = there
        tes.start()
        (tes.data / "tasks" / task_id / "tree/out/go").touch()
        task = tes.ended(task_id)
        assert (task["state"], log_of(task)["stdout"]) == ("COMPLETE", "up\ndone\n"), task["logs"]
        assert tes.ended(other)["state"] == "CANCELED"
        assert containers(task_id) == containers(other) == []


def test_a_container_that_was_lost_with_the_server_is_made_again(
    own_folder: Path, image: str, docker: Docker, containers: Containers, engine: Mapping[str, str]
) -> None:
    with tes_server(own_folder, TES_RUNNER="docker", **engine) as tes:
        task_id = tes.submit(
            "sh",
            "-c",
            "echo up; [ -e /go/go ] || sleep 1000",
            executor={"image": image},
            inputs=[{"url": tes.readable.as_uri(), "path": "/go", "type": "DIRECTORY"}],
        )
        until(lambda: "up" in str(tes.get(task_id)["logs"]), "it runs")
        tes.end(signal.SIGKILL)
        docker("rm", "--force", *containers(task_id))
        owner = (tes.data / "id").read_text()
        docker("create", "--label", f"wes-tes.server={owner}", "--label", "wes-tes.task=gone", image, "true")
        (tes.readable / "go").touch()
        tes.start()
        task = tes.ended(task_id)
        assert task["state"] == "COMPLETE", task["logs"]
        assert len(task["logs"]) == 2
        until(lambda: not containers("gone"), "what nobody owns any more is removed")


def test_a_program_that_the_image_lacks_is_an_executor_error(contained: TesServer, image: str) -> None:
    task = contained.run("no-such-program", executor={"image": image})
    assert (task["state"], log_of(task)["exit_code"]) == ("EXECUTOR_ERROR", 127), task["logs"]
    assert "no-such-program" in log_of(task)["stderr"]


class _Registry(BaseHTTPRequestHandler):
    """Knows no image, and says so to who has the password."""

    heard: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(404 if self.heard[-1] else 401)
        self.send_header("Www-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...


def test_a_private_registry_is_asked_with_the_credentials_of_the_operator(
    own_folder: Path, engine: Mapping[str, str]
) -> None:
    credentials = base64.b64encode(b"me:hidden").decode()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as registry:
        thread = threading.Thread(target=registry.serve_forever)
        thread.start()
        name = f"127.0.0.1:{registry.server_address[1]}"
        auth_file = own_folder / "auth.json"
        auth_file.touch(0o600)
        auth_file.write_text(json.dumps({"auths": {name: {"auth": credentials}}}))
        settings = {"TES_RUNNER": "docker", "TES_REGISTRY_AUTH_FILE": str(auth_file), **engine}
        with tes_server(own_folder, **settings) as tes:
            task = tes.run("true", executor={"image": f"{name}/private:1"})
        registry.shutdown()
        thread.join()
    assert task["state"] == "SYSTEM_ERROR"
    assert f"{name}/private:1 can't be had" in system_logs(task)
    assert f"Basic {credentials}" in _Registry.heard
    assert "hidden" not in str(task)
    assert credentials not in str(task)

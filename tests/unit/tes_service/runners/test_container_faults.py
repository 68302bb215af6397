"""A container engine that does not answer: what was asked for is tried again, and nothing is left."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from sandbox.identity import foreign_identity
from sandbox.limits import ResourceLimits
from tes_service.errors import TaskFault, TaskStopped
from tes_service.layout import Layout
from tes_service.processes import ExecutorStreams, Spawner
from tes_service.runners import container_engine, container_runner
from tes_service.runners.container_engine import ContainerEngine, Images
from tes_service.runners.container_runner import LABEL, SERVER_LABEL, ContainerRunner
from tes_service.runners.port import ExecutorRequest
from tes_service.task_request import task_request

REQUEST = task_request({"executors": [{"image": "x", "command": ["true"]}], "resources": {"ram_gb": 2}})
NAME = "wes-tes-task-1-0"
HANDLE = json.dumps({"name": NAME, "resumes": True})


@dataclass(frozen=True, kw_only=True)
class _Engine(ContainerEngine):
    """In memory. `fails`: how often the next command of that name fails; `containers`: their labels by name."""

    program: str = "true"
    variables: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.defpath})
    containers: dict[str, dict[str, str]] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    ran: list[list[str]] = field(default_factory=list)

    def run(self, arguments: Sequence[str], keep: Sequence[int] = (), seconds: float | None = 1.0) -> str:  # noqa: ARG002
        self.ran.append(list(arguments))
        if arguments[0] == "create":
            pairs = [value for flag, value in pairwise(arguments) if flag == "--label"]
            self.containers[arguments[2]] = dict(pair.split("=", 1) for pair in pairs)
        if self.fails.get(arguments[0], 0):
            self.fails[arguments[0]] -= 1
            raise TaskFault(f"docker {arguments[0]} does not answer")
        if arguments[0] == "rm":
            self.containers.pop(arguments[-1], None)
        if arguments[0] == "container":
            return self._inspected(arguments[-1])
        return "\n".join(self._listed(arguments)) if arguments[0] == "ps" else ""

    def _inspected(self, name: str) -> str:
        if name not in self.containers:
            raise TaskFault("no such container")
        return json.dumps([{"State": {"Status": "exited", "ExitCode": 3}}])

    def _listed(self, arguments: Sequence[str]) -> Iterator[str]:
        wanted = next((one.partition("=")[2] for one in arguments if one.startswith("label=")), None)
        for name, labels in self.containers.items():
            if wanted is None:
                yield name
            elif wanted in {f"{key}={value}" for key, value in labels.items()}:
                yield f"{name}\t{labels[LABEL]}"


class _GoOn:
    def check(self) -> None: ...


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Engine:
    monkeypatch.setattr(container_runner, "LOOK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(container_engine, "LOOK_AGAIN_SECONDS", 0.01)
    return _Engine()


@pytest.fixture
def runner(fake: _Engine) -> Iterator[ContainerRunner]:
    spawner = Spawner()
    yield ContainerRunner(
        engine=fake, images=Images(fake, 1), spawner=spawner, identity=foreign_identity(64321), server="mine"
    )
    spawner.close()


@pytest.fixture
def call(tmp_path: Path) -> Iterator[ExecutorRequest]:
    fd = os.open(tmp_path / "stream", os.O_RDWR | os.O_CREAT)
    layout = Layout(root=tmp_path, writable=())
    streams = ExecutorStreams(stdin=fd, stdout=fd, stderr=fd)
    yield ExecutorRequest(
        task_id="task",
        attempt=1,
        index=0,
        request=REQUEST,
        limits=ResourceLimits(memory_bytes=2 * 10**9),
        image="x",
        command=("true",),
        layout=layout,
        streams=streams,
    )
    os.close(fd)


@pytest.mark.parametrize(
    ("given", "wish", "has"),
    [(True, None, True), (True, "true", True), (True, "false", False), (False, "true", False), (False, None, False)],
)
def test_a_container_has_a_network_where_the_operator_gives_one_and_its_task_wants_it(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest, given: bool, wish: str | None, has: bool
) -> None:
    parameters = {} if wish is None else {"network": wish}
    request = task_request({**REQUEST.document, "resources": {"backend_parameters": parameters}})
    replace(runner, network=given).start(replace(call, request=request)).wait()
    assert (("--network", "none") not in pairwise(fake.ran[0])) is has


def test_a_create_that_times_out_leaves_no_container(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    fake.fails["create"] = 1
    with pytest.raises(TaskFault, match="create does not answer"):
        runner.start(call)
    assert fake.containers == {}


def test_what_an_engine_makes_after_nobody_waits_for_it_is_swept(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    fake.fails.update({"create": 1, "rm": 1})
    with pytest.raises(TaskFault):
        runner.start(call)
    assert fake.containers == {NAME: {LABEL: "task", SERVER_LABEL: "mine"}}
    fake.containers["another-server's"] = {LABEL: "task", SERVER_LABEL: "other"}
    runner.sweep(lambda task_id: task_id == "task")
    assert NAME in fake.containers
    runner.sweep(lambda _: False)
    assert list(fake.containers) == ["another-server's"]


def test_a_kill_is_tried_until_the_container_is_gone(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    running = runner.start(call)
    fake.fails["rm"] = 3
    running.kill()
    assert running.wait() is None
    assert fake.containers == {}
    assert fake.fails["rm"] == 0


def test_an_executor_is_followed_through_an_engine_that_is_away_for_a_while(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    running = runner.start(call)
    fake.fails.update({"container": 2, "ps": 2})
    assert running.wait() == 3


def test_a_container_that_was_removed_from_outside_is_no_longer_waited_for(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    running = runner.start(call)
    fake.containers.clear()
    assert running.wait() is None


def test_an_engine_that_is_away_is_not_taken_for_a_lost_container(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    fake.containers[NAME] = {LABEL: "task"}
    fake.fails.update({"container": 2, "ps": 2})
    running = runner.attach(HANDLE, call.streams, _GoOn())
    assert running is not None
    assert running.wait() == 3
    assert runner.attach(HANDLE, call.streams, _GoOn()) is None


def test_waiting_for_an_engine_ends_with_the_task(
    runner: ContainerRunner, fake: _Engine, call: ExecutorRequest
) -> None:
    class Stopped:
        def check(self) -> None:
            raise TaskStopped

    fake.fails.update({"container": 99, "ps": 99})
    with pytest.raises(TaskStopped):
        runner.attach(HANDLE, call.streams, Stopped())


def test_an_engine_that_is_away_says_nothing_about_an_image(fake: _Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def pull(*_: object, **__: object) -> "subprocess.Popen[str]":
        raise AssertionError("it is there")

    monkeypatch.setattr(subprocess, "Popen", pull)
    fake.fails.update({"image": 1, "version": 2})
    Images(fake, 1).ensure("x", _GoOn())
    assert [one[0] for one in fake.ran] == ["image", "version", "version", "version", "image"]


def test_a_gigabyte_is_a_thousand_megabytes(runner: ContainerRunner, fake: _Engine, call: ExecutorRequest) -> None:
    runner.start(call).wait()
    options = fake.ran[0]
    assert options[options.index("--memory") + 1] == "2000000000b"

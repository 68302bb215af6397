import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import SettingsError
from sandbox.identity import foreign_identity
from tes_service.errors import TaskFault
from tes_service.layout import Layout
from tes_service.processes import ExecutorStreams, RunningExecutor, Spawner, StopSignal, TaskControl
from tes_service.runners.choose import AvailableRunners, RunnerFinder
from tes_service.runners.port import ExecutorRequest
from tes_service.settings import TesSettings
from tes_service.task_log import TaskLog, TaskLogWriter
from tes_service.task_request import TaskRequest, task_request

REQUEST = task_request({"executors": [{"image": "x", "command": ["true"]}]})


class _Runner:
    def __init__(self, name: str, *, lacks_image: bool = False) -> None:
        self.name = name
        self.about = f"run by {name}"
        self.uses_images = name == "docker"
        self.network = name == "docker"
        self._lacks_image = lacks_image

    def prepare(self, request: TaskRequest, stop: StopSignal) -> None:  # noqa: ARG002
        if self._lacks_image:
            raise TaskFault("the image x can't be had")

    def settle(self, request: TaskRequest, layout: Layout) -> None: ...

    def start(self, call: ExecutorRequest) -> RunningExecutor:
        raise NotImplementedError

    def attach(self, handle: str, streams: ExecutorStreams, stop: StopSignal) -> RunningExecutor | None:
        raise NotImplementedError

    def discard(self, task_id: str) -> None: ...

    def sweep(self, held: Callable[[str], bool]) -> None: ...


def _writer() -> TaskLogWriter:
    return TaskLogWriter(TaskLog(), lambda _: None)


def test_the_fallback_runs_what_has_no_image_and_the_log_tells_why() -> None:
    task_log, fallback = _writer(), _Runner("bubblewrap")
    runners = AvailableRunners(first=_Runner("docker", lacks_image=True), fallback=fallback)
    assert runners.choose(REQUEST, TaskControl(), task_log) is fallback
    assert task_log.log.system == (
        "the image x can't be had",
        "run by bubblewrap",
        "the image x was not used: programs of this machine ran in its place",
    )
    assert task_log.log.metadata == {"runner": "bubblewrap"}
    assert runners.named("bubblewrap") is fallback
    assert runners.named("process") is None


@pytest.mark.parametrize(
    ("wish", "runner", "said"),
    [
        ("true", "bubblewrap", "the task wants a network (backend parameter network), and tasks have none here"),
        ("false", "docker", "without network, as the task wants none (backend parameter network)"),
        ("true", "docker", ""),
        ("false", "bubblewrap", ""),
        (None, "docker", ""),
    ],
)
def test_another_network_than_a_task_wants_or_others_have_stands_in_its_log(
    wish: str | None, runner: str, said: str
) -> None:
    parameters = {} if wish is None else {"network": wish}
    request = task_request({**REQUEST.document, "resources": {"backend_parameters": parameters}})
    task_log = _writer()
    AvailableRunners(first=_Runner(runner)).choose(request, TaskControl(), task_log)
    told = [line for line in task_log.log.system if "network" in line]
    assert [line.startswith(said) for line in told] == ([True] if said else [])


def test_without_a_fallback_it_is_a_fault_that_says_how_to_have_one() -> None:
    runners = AvailableRunners(first=_Runner("docker", lacks_image=True), hint="; do this")
    with pytest.raises(TaskFault, match=r"can't be had; do this$"):
        runners.choose(REQUEST, TaskControl(), _writer())


def test_with_an_engine_programs_of_the_machine_take_its_place_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho '{}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "data").mkdir()
    strict = _find(tmp_path / "data", runner="auto")
    assert (strict.first.name, strict.fallback) == ("docker", None)
    assert "TES_IMAGE_FALLBACK=1" in strict.hint
    lenient = _find(tmp_path / "data", runner="auto", image_fallback=True)
    assert lenient.fallback is not None
    assert lenient.fallback.name == "bubblewrap"


def _find(tmp_path: Path, **settings: object) -> AvailableRunners:
    spawner = Spawner()
    try:
        chosen = TesSettings(data=tmp_path, **settings)  # type: ignore[arg-type]
        return RunnerFinder(settings=chosen, identity=foreign_identity(64321), spawner=spawner, server="s").find()
    finally:
        spawner.close()


def test_where_nothing_works_the_server_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for runner in ("auto", "bubblewrap"):
        with pytest.raises(SettingsError, match="apt-get install bubblewrap"):
            _find(tmp_path, runner=runner)
    with pytest.raises(SettingsError, match="docker does not answer"):
        _find(tmp_path, runner="docker")


def test_plain_processes_are_the_last_resort_and_only_with_the_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _find(tmp_path, unsandboxed=True).first.name == "process"
    with pytest.raises(SettingsError):
        _find(tmp_path, unsandboxed=True, runner="bubblewrap")


def test_the_switch_does_not_take_the_sandbox_away(tmp_path: Path) -> None:
    assert _find(tmp_path, unsandboxed=True, runner="bubblewrap").first.name == "bubblewrap"

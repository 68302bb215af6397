from pathlib import Path

import pytest

from sandbox.bubblewrap import Mount
from tes_service.runners.container_engine import ContainerEngine, find_engine, last_line
from tes_service.runners.container_runner import mount_option


def test_mounts_are_written_as_csv() -> None:
    assert mount_option(Mount(source=Path("/a"), target="/b", writable=True)) == "type=bind,source=/a,target=/b"
    quoted = mount_option(Mount(source=Path('/a,"b'), target="/c:d"))
    assert quoted == 'type=bind,"source=/a,""b",target=/c:d,readonly'


def test_files_belong_to_the_user_outside() -> None:
    rootless = ContainerEngine(program="docker", variables={}, rootless=True)
    assert rootless.user(1000, 1000) == "0:0"
    assert ContainerEngine(program="docker", variables={}).user(64321, 64321) == "64321:64321"
    podman = ContainerEngine(program="podman", variables={}, rootless=True)
    assert podman.user(1000, 1000) == "1000:1000"
    assert "keep-id" in podman.own_options()


def test_memory_is_limited_together_with_swap() -> None:
    engine = ContainerEngine(program="docker", variables={})
    assert engine.memory(2**30) == ["--memory", "1073741824b", "--memory-swap", "1073741824b"]
    assert engine.memory(1)[1] == f"{6 * 2**20}b"


def test_the_last_line_is_what_an_engine_has_to_say() -> None:
    assert last_line("a\nb \n\n") == "b"
    assert last_line("") == "it failed without a message"


def test_an_engine_that_is_not_there_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("docker") is None
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\necho \'{"ServerErrors": ["no daemon"]}\'\n')
    program.chmod(0o755)
    assert find_engine("docker") is None
    program.write_text('#!/bin/sh\necho \'{"SecurityOptions": ["name=rootless"]}\'\n')
    found = find_engine("docker")
    assert found is not None
    assert found.rootless

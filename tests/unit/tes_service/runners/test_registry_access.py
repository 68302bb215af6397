"""Credentials of image registries: given to a pull, and to nothing else."""

import json
import os
from pathlib import Path

import pytest

from common.errors import SettingsError
from tes_service.errors import TaskFault
from tes_service.processes import TaskControl
from tes_service.runners.container_engine import ContainerEngine, Images
from tes_service.runners.registry_access import pull_variables

ENGINE = """#!/bin/sh
cat "$DOCKER_CONFIG/config.json" >>"$0.$1" 2>/dev/null || echo none >>"$0.$1"
echo "$@" >>"$0.arguments"
[ "$1" != image ]
"""


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    file = tmp_path / "auth.json"
    file.touch(0o600)
    file.write_text(json.dumps({"auths": {"registry.example": {"auth": "aGlkZGVu"}}}))
    return file


def test_only_a_pull_gets_the_credentials(tmp_path: Path, auth_file: Path) -> None:
    program = tmp_path / "docker"
    program.write_text(ENGINE)
    program.chmod(0o755)
    access = pull_variables("docker", auth_file, tmp_path / "registry")
    engine = ContainerEngine(program=str(program), variables={"PATH": os.defpath})
    Images(engine, 30, access).ensure("registry.example/private:1", TaskControl())
    told = {name: (tmp_path / f"docker.{name}").read_text() for name in ("image", "pull")}
    assert "aGlkZGVu" in told["pull"]
    assert "aGlkZGVu" not in told["image"]
    assert "aGlkZGVu" not in (tmp_path / "docker.arguments").read_text()
    assert (tmp_path / "registry").stat().st_mode & 0o777 == 0o700


def test_credentials_that_are_exchanged_count_at_once(tmp_path: Path, auth_file: Path) -> None:
    access = pull_variables("docker", auth_file, tmp_path / "registry")
    auth_file.write_text('{"auths": {}}')
    assert (Path(access["DOCKER_CONFIG"]) / "config.json").read_text() == '{"auths": {}}'
    assert pull_variables("docker", auth_file, tmp_path / "registry") == access


def test_podman_takes_the_file_as_it_is(tmp_path: Path, auth_file: Path) -> None:
    assert pull_variables("podman", auth_file, tmp_path / "registry") == {"REGISTRY_AUTH_FILE": str(auth_file)}
    assert pull_variables("podman", None, tmp_path / "registry") == {}
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("text", ["", "hidden", "[]", '{"registry.example": "hidden"}', "\ud800"])
def test_a_file_that_is_none_is_told_without_what_is_in_it(tmp_path: Path, auth_file: Path, text: str) -> None:
    auth_file.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(SettingsError, match="TES_REGISTRY_AUTH_FILE") as told:
        pull_variables("docker", auth_file, tmp_path / "registry")
    assert "hidden" not in str(told.value)


def test_a_file_that_others_can_read_is_refused(
    tmp_path: Path, auth_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.settings._others_read", lambda *_: True)
    with pytest.raises(SettingsError, match="chmod 600"):
        pull_variables("docker", auth_file, tmp_path / "registry")
    with pytest.raises(SettingsError, match="can't be read"):
        pull_variables("docker", tmp_path / "none", tmp_path / "registry")


def test_a_failed_pull_does_not_tell_them(tmp_path: Path, auth_file: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\n[ $1 = version ] || { echo denied >&2; exit 1; }\n")
    program.chmod(0o755)
    engine = ContainerEngine(program=str(program), variables={"PATH": os.defpath})
    access = pull_variables("docker", auth_file, tmp_path / "registry")
    with pytest.raises(TaskFault, match="denied") as told:
        Images(engine, 30, access).ensure("registry.example/private:1", TaskControl())
    assert "aGlkZGVu" not in str(told.value)

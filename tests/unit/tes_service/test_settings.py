from pathlib import Path

import pytest

from common.errors import SettingsError
from tes_service.settings import read_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "TES_HOST",
        "TES_PORT",
        "TES_DATA",
        "TES_TOKEN_FILE",
        "TES_ALLOW",
        "TES_RUNNER",
        "TES_UNSANDBOXED",
        "TES_CONFIG",
        "WES_CONFIG",
    ):
        monkeypatch.delenv(name, raising=False)


def test_variables_are_read_and_options_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TES_PORT", "1234")
    monkeypatch.setenv("TES_ALLOW", "/a, /b c")
    monkeypatch.setenv("TES_TOKEN_FILE", "")
    settings = read_settings(port=None)
    assert (settings.port, settings.allow, settings.token_file) == (1234, (Path("/a"), Path("/b c")), None)
    assert read_settings(port=99).port == 99


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "tes.example.org"])
def test_others_can_connect_only_with_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="TES_TOKEN_FILE is needed"):
        read_settings(host=host)
    assert read_settings(host=host, token_file=Path("/token")).host == host


def test_plain_processes_need_a_switch() -> None:
    with pytest.raises(SettingsError, match="TES_UNSANDBOXED"):
        read_settings(runner="process")
    assert read_settings(runner="process", unsandboxed=True).runner == "process"


def test_a_bad_value_is_told_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^TES_PORT: "):
        read_settings(port="x")
    with pytest.raises(SettingsError, match=r"^TES_RUNNER: "):
        read_settings(runner="kubernetes")


@pytest.mark.parametrize(
    ("allowed", "problem"),
    [
        ("", "the tasks of this server"),
        ("data/runs", "runs, of which each task may use its own only"),
        ("data/runs/one/work", "runs, of which each task may use its own only"),
        ("data/tes/tasks", "the tasks of this server"),
        ("link/runs", "runs, of which each task may use its own only"),
        ("data/tes", "the tasks of this server"),
    ],
)
def test_no_folder_may_be_allowed_that_gives_a_task_those_of_other_runs(
    tmp_path: Path, allowed: str, problem: str
) -> None:
    (tmp_path / "data/runs/one/work").mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")
    folders = {"data": tmp_path / "data/tes", "runs": tmp_path / "data/runs"}
    assert read_settings(**folders, allow=(tmp_path / "else",), allow_data=(tmp_path / "data/ref",)).runs
    for setting in ("allow", "allow_data"):
        with pytest.raises(SettingsError, match=problem):
            read_settings(**folders, **{setting: (tmp_path / allowed,)})


def test_stores_are_read_with_their_files_and_never_with_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TES_STORES", '{"s3://b": {"endpoint": "http://h:9000", "access_key_id_file": "/id"}}')
    assert read_settings().stores["s3://b"].access_key_id_file == Path("/id")
    monkeypatch.setenv("TES_STORES", '{"s3://b": {"secret_access_key": "hidden"}}')
    with pytest.raises(SettingsError, match=r"^TES_STORES: secret_access_key of s3://b: ") as told:
        read_settings()
    assert "hidden" not in str(told.value)
    monkeypatch.setenv("TES_STORES", "hidden")
    with pytest.raises(SettingsError, match=r"^TES_STORES: must be JSON") as told:
        read_settings()
    assert "hidden" not in str(told.value)


def test_stores_of_the_configuration_are_for_tasks_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "wes.toml"
    file.write_text('[stores.s3]\nendpoint = "http://h:9000"\naccess_key_id_file = "id"\n[stores."s3://b"]\n')
    monkeypatch.setenv("WES_CONFIG", str(file))
    stores = read_settings().all_stores()
    assert (stores["s3"].access_key_id_file, set(stores)) == (tmp_path / "id", {"s3", "s3://b"})
    monkeypatch.setenv("TES_STORES", '{"s3": {"endpoint": "http://other:9000"}}')
    assert read_settings(config=file).all_stores()["s3"].endpoint == "http://other:9000"
    with pytest.raises(SettingsError, match="can't be read"):
        read_settings(config=tmp_path / "none").all_stores()
    monkeypatch.delenv("WES_CONFIG")
    assert set(read_settings().all_stores()) == {"s3"}

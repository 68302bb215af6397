"""`wes config show`."""

import json
from pathlib import Path

import pytest

from tests.unit.wes_cli.conftest import Wes

FILE = """
[tes.far]
url = "https://tes.example.org/v1"
token_file = "token"

[tes."tes.near"]
url = "http://near/v1"
"""


@pytest.fixture
def configured(open_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (open_tmp / "wes.toml").write_text(FILE)
    (open_tmp / "token").write_text("hunter2")
    (open_tmp / "token").chmod(0o600)
    monkeypatch.setenv("WES_REDIS_URL", "redis://:hunter2@queue:6379/0")
    monkeypatch.setenv("WES_TES_URLS", "http://ann:hunter2@funnel:8000/v1")
    return open_tmp / "wes.toml"


def test_each_value_is_shown_with_where_it_is_from_and_no_secret(wes: Wes, configured: Path) -> None:
    shown = wes("config", "show", "--config", str(configured)).stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert f'config = "{configured}" # --config' in lines
    assert 'redis_url = "redis://***@queue:6379/0" # WES_REDIS_URL' in lines
    far, near, funnel = (lines.index(f"[tes.{name}]") for name in ("far", '"tes.near"', "funnel"))
    assert far < near < funnel
    assert f'token_file = "{configured.parent}/token" # {configured}' in lines[far:near]
    assert 'storage = "shared" # default' in lines[near:funnel]
    assert 'url = "http://***@funnel:8000/v1" # WES_TES_URLS' in lines[funnel:]
    assert "hunter2" not in shown


def test_of_a_hook_everything_is_shown_but_what_may_be_secret(wes: Wes, open_tmp: Path) -> None:
    file, secret = open_tmp / "wes.toml", open_tmp / "hook-secret"
    file.write_text('[hooks.chat]\nurl = "https://chat.example/services/hunter2"\nsecret_file = "hook-secret"\n')
    secret.write_text("whsec_" + "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8=")
    secret.chmod(0o600)
    shown = wes("config", "show", "--config", str(file)).stdout
    assert "[hooks.chat]" in shown
    assert "https://chat.example/…" in shown
    assert "hunter2" not in shown
    assert "aGVsbG8" not in shown
    assert "PROBLEM" not in shown
    secret.write_text("hunter2")
    assert "PROBLEM secret_file" in wes("config", "show", "--config", str(file)).stdout


def test_the_embedded_tes_is_shown_as_it_is_named(wes: Wes, open_tmp: Path) -> None:
    file = open_tmp / "wes.toml"
    file.write_text('[tes.near]\nurl = "embedded"\n')
    shown = wes("config", "show", "--config", str(file)).stdout
    assert f'url = "embedded" # {file}' in [" ".join(line.split()) for line in shown.splitlines()]
    assert "PROBLEM" not in shown


def test_what_has_its_default_is_shown_when_asked_for(wes: Wes, configured: Path) -> None:
    assert "poll_seconds" not in wes("config", "show").stdout
    found = json.loads(wes("config", "show", "--all", "--json").stdout)
    (poll,) = (each for each in found if each["key"] == "poll_seconds")
    assert (poll["value"], poll["source"]) == (15.0, "default")


def test_a_secret_that_can_not_be_used_is_told(wes: Wes, configured: Path) -> None:
    (configured.parent / "token").chmod(0o644)
    said = wes("config", "show", "--config", str(configured)).stdout
    assert f"# PROBLEM token_file of [tes.far] of {configured}: {configured.parent}/token can be read by other" in said


def test_a_file_that_is_wrong_is_told_in_one_line(wes: Wes, configured: Path) -> None:
    configured.write_text("[tes.far]\nurll = 'http://a'")
    result = wes("config", "show", "--config", str(configured))
    assert result.exit_code == 2
    assert "tes.far.urll: there is no such key; did you mean url?" in result.stderr


def test_stores_are_shown_by_the_files_of_their_keys(wes: Wes, configured: Path) -> None:
    store = '[stores."s3://runs"]\nendpoint = "http://ann:hunter2@s3"\nsecret_access_key_file = "s3-secret"\n'
    configured.write_text(store + '[tes.far]\nurl = "https://far/v1"\nstorage = "s3://runs/far"\n')
    (configured.parent / "s3-secret").write_text("hunter2")
    (configured.parent / "s3-secret").chmod(0o644)
    said = wes("config", "show", "--config", str(configured)).stdout
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert f'storage = "s3://runs/far" # {configured}' in lines
    below = lines[lines.index('[stores."s3://runs"]') :]
    assert f'secret_access_key_file = "{configured.parent}/s3-secret" # {configured}' in below
    assert any(line.startswith("# PROBLEM secret_access_key_file ") for line in below)
    assert "hunter2" not in said

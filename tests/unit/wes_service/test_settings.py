"""Settings are read once, and wrong ones are told by name."""

from pathlib import Path

import pytest

from wes_service.core.errors import SettingsError
from wes_service.settings import read_settings, read_token


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WES_TES_URLS", "http://a/v1, http://b/v1")
    monkeypatch.setenv("WES_ALLOW_DATA", "/data,/more data")
    settings = read_settings()
    assert settings.tes_urls == ("http://a/v1", "http://b/v1")
    assert settings.allow_data == (Path("/data"), Path("/more data"))


def test_options_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WES_PORT", "1234")
    assert read_settings(port=99).port == 99
    assert read_settings(port=None).port == 1234


def test_defaults_of_an_engine_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WES_ENGINE_DEFAULTS", '{"cwltool": {"image": "debian:12", "ram_gb": 2}}')
    defaults = read_settings().engine_defaults["cwltool"]
    assert (defaults.image, defaults.resources()) == ("debian:12", {"ram_gb": 2})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WES_PORT", "http"),
        ("WES_PORT", "70000"),
        ("WES_SLOTS", "0"),
        ("WES_LEASE_SECONDS", "-1"),
        ("WES_ENGINE_DEFAULTS", '{"cwltool": {"cores": 2}}'),
        ("WES_ENGINE_DEFAULTS", "{"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()


def test_another_address_than_loopback_needs_a_token() -> None:
    with pytest.raises(SettingsError, match="WES_TOKEN_FILE is needed"):
        read_settings(host="0.0.0.0")


def test_a_token_file_that_can_not_be_read_or_is_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_token(tmp_path / "none")
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(SettingsError, match="is empty"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_text("secret\n")
    assert read_token(tmp_path / "token") == "secret"

"""Settings are read once, and wrong ones are told by name."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from common.errors import SettingsError
from common.settings import read_token
from common.step_resources import StepLimit
from wes_cli.programs import embedded_tes
from wes_service.settings import has_password, read_settings, with_password


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


def test_a_token_file_with_two_lines_is_refused_as_one_of_them_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\nnew\n")
    with pytest.raises(SettingsError, match="more than one line"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize(
    "url", ["postgresql://wes@db/wes", "postgresql+psycopg://wes@db:5432/wes", "postgresql://wes@/wes?host=/run/pg"]
)
@pytest.mark.parametrize("password", ["simple", "p@ss w:rd/%41#?&ü"])
def test_a_password_from_a_file_becomes_a_part_of_the_url(tmp_path: Path, url: str, password: str) -> None:
    (tmp_path / "password").write_text(f"{password}\n")
    settings = read_settings(database_url=url, database_password_file=tmp_path / "password")
    whole, bare = make_url(settings.database), make_url(url)
    assert whole.password == password
    assert (whole.username, whole.host, whole.port, whole.database) == ("wes", bare.host, bare.port, "wes")
    assert whole.query == bare.query
    assert password not in settings.database_url


@pytest.mark.parametrize("url", ["", "postgresql://db/wes", "postgresql:///wes", "postgresql://wes:old@db/wes"])
def test_a_password_needs_a_url_with_a_user_and_none_of_its_own(tmp_path: Path, url: str) -> None:
    (tmp_path / "password").write_text("secret")
    settings = read_settings(database_url=url, database_password_file=tmp_path / "password")
    with pytest.raises(SettingsError, match="postgresql://USER@HOST/NAME") as told:
        _ = settings.database
    assert "secret" not in str(told.value)
    assert "old" not in str(told.value)


def test_a_password_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    settings = read_settings(database_url="postgresql://wes@db/wes", database_password_file=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"WES_DATABASE_PASSWORD_FILE .*none can't be read"):
        _ = settings.database


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("postgresql://wes:x@db/wes", True),
        ("postgresql://db/wes?user=wes&password=x", True),
        ("postgresql://wes@db/wes", False),
        ("postgresql://db:5432/wes", False),
        ("sqlite:////data/a:b@c.sqlite", False),
    ],
)
def test_a_url_with_a_password_is_known(url: str, has: bool) -> None:
    assert has_password(url) == has


def test_a_password_is_quoted() -> None:
    assert with_password("postgresql://wes@db/wes", "a/b") == "postgresql://wes:a%2Fb@db/wes"


def test_a_tes_that_is_named_by_no_url_is_refused_at_once() -> None:
    with pytest.raises(SettingsError, match="WES_TES_URLS: 'funnel:8000' is not the URL of a TES: write http://HOST"):
        read_settings(tes_urls=("http://a/v1", "funnel:8000"))


def test_a_token_goes_to_the_one_tes_that_it_is_for() -> None:
    urls = ("http://a/v1", "http://b/v1")
    assert [server.token_file for server in read_settings(tes_urls=urls).tes_servers] == [None, None]
    servers = read_settings(tes_urls=urls, tes_token_file="/t/a,-").tes_servers
    assert [(server.url, server.token_file) for server in servers] == [
        ("http://a/v1", Path("/t/a")),
        ("http://b/v1", None),
    ]
    with pytest.raises(SettingsError, match="names 1 and WES_TES_URLS 2, but a token goes to one TES only"):
        read_settings(tes_urls=urls, tes_token_file=Path("/t/a"))


@pytest.mark.parametrize(("mode", "fine"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_a_secret_that_other_accounts_can_read_is_refused(open_tmp: Path, mode: int, fine: bool) -> None:
    secret = open_tmp / "token"
    secret.write_text("secret")
    secret.chmod(mode)
    if fine:
        assert read_token(secret) == "secret"
        return
    with pytest.raises(SettingsError, match=f"can be read by other accounts of this machine: chmod 600 {secret}"):
        read_token(secret)
    open_tmp.chmod(0o700)
    assert read_token(secret) == "secret", "nobody else can enter its folder"


def test_secrets_of_containers_are_taken_with_the_mode_that_compose_gives_them(
    open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = open_tmp / "token"
    secret.write_text("secret")
    secret.chmod(0o444)
    monkeypatch.setattr("common.settings.CONTAINER_SECRETS", open_tmp)
    assert read_token(secret) == "secret"


@pytest.mark.parametrize("allowed", ["", "data", "data/runs", "link", "link/tes"])
def test_the_data_folder_and_what_holds_it_or_lies_in_it_is_no_allowed_data(tmp_path: Path, allowed: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert read_settings(data=tmp_path / "data", allow_data=(tmp_path / "database",)).allow_data
    with pytest.raises(SettingsError, match=r"WES_ALLOW_DATA: \S+ can't be allowed to workflows, as the data folder"):
        read_settings(data=tmp_path / "data", allow_data=(tmp_path / allowed,))


@pytest.mark.parametrize("allowed", ["/wes", "/wes/run/data", "/wes/run"])
def test_the_place_where_runs_are_seen_is_no_allowed_data(tmp_path: Path, allowed: str) -> None:
    assert read_settings(data=tmp_path, allow_data=(Path("/wes/data"),)).allow_data
    with pytest.raises(SettingsError, match=r"WES_ALLOW_DATA: \S+ can't be .* own run at /wes/run"):
        read_settings(data=tmp_path, allow_data=(Path(allowed),))


def test_servers_of_the_file_come_first_and_others_have_the_names_of_their_hosts(tmp_path: Path) -> None:
    file = tmp_path / "wes.toml"
    file.write_text('[tes.funnel]\nurl = "https://far/v1"\n[tes.near]\nurl = "http://near/v1"\nkind = "funnel"\n')
    urls = (
        "http://funnel:8000/v1",
        "http://funnel:8001/v1",
        "http+unix://%2Frun%2Fown%20tes.sock/v1",
        "http://[::1]/v1",
    )
    servers = read_settings(config=file, tes_urls=urls, tes_token_file="/t/a,-,-,-").tes_servers
    assert [server.name for server in servers] == ["funnel", "near", "funnel-2", "funnel-3", "own-tes", "1"]
    assert [server.token_file for server in servers] == [None, None, Path("/t/a"), None, None, None]
    assert {server.origin for server in servers[2:]} == {"WES_TES_URLS"}


def test_a_configuration_is_read_at_the_start_and_its_problems_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wes.toml"
    monkeypatch.setenv("WES_CONFIG", str(file))
    with pytest.raises(SettingsError, match=r"the configuration \S+wes.toml can't be read"):
        read_settings()
    file.write_text('[tes.far]\nurl = "funnel:8000"')
    with pytest.raises(
        SettingsError, match=r"url of \[tes.far\] of \S+wes.toml: 'funnel:8000' is not the URL of a TES"
    ):
        read_settings()
    file.write_text('[tes.far]\nurl = "http://far/v1"')
    with pytest.raises(
        SettingsError, match=r"WES_TES_URLS: http://far/v1/ is \[tes.far\] of \S+ already: leave it out"
    ):
        read_settings(tes_urls=("http://far/v1/",))
    oauth2 = "\n".join(f'oauth2_{key} = "http://a"' for key in ("token_url", "client_id", "client_secret_file"))
    file.write_text(f'[tes.far]\nurl = "http+unix://%2Frun%2Ftes.sock/v1"\n{oauth2}')
    with pytest.raises(SettingsError, match="a TES on a Unix socket takes no OAuth2 token"):
        read_settings()
    monkeypatch.setenv("WES_CONFIG", "")
    assert read_settings().tes_servers == ()


def test_the_embedded_tes_may_be_one_of_those_that_are_named(tmp_path: Path) -> None:
    file = tmp_path / "wes.toml"
    file.write_text('[tes.near]\nurl = "embedded"\nmax_cpu = 2\n[tes.far]\nurl = "http://far:1"\n')
    (tmp_path / "secrets").mkdir()
    near, far = read_settings(config=file, data=tmp_path).tes_servers
    started = embedded_tes(tmp_path)
    assert (near.url, near.token_file, near.max_cpu) == (started.url, started.token_file, 2)
    assert (near.is_embedded, far.is_embedded, far.url) == (True, False, "http://far:1")


def test_what_steps_get_at_most_is_known_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().step_limits == {}
    monkeypatch.setenv("WES_MAX_TASK_CPU", "4")
    monkeypatch.setenv("WES_MAX_TASK_MEMORY_GB", "7.5")
    monkeypatch.setenv("WES_MAX_TASK_TIME", "12h")
    assert read_settings().step_limits == {
        "cpu": StepLimit(amount=4, setting="WES_MAX_TASK_CPU"),
        "memory": StepLimit(amount=7.5, setting="WES_MAX_TASK_MEMORY_GB"),
        "time": StepLimit(amount=43200, setting="WES_MAX_TASK_TIME"),
    }
    monkeypatch.setenv("WES_MAX_TASK_CPU", "0")
    with pytest.raises(SettingsError, match="WES_MAX_TASK_CPU"):
        read_settings()

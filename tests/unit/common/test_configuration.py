"""`wes.toml`: what is read, and the sentence for each thing that is wrong in it."""

from pathlib import Path

import pytest

from common.configuration import TesServer, read_configuration
from common.errors import SettingsError

FAR = """
[tes.near]
url = "http://127.0.0.1:8090/ga4gh/tes/v1"

[tes.far]
url = "https://tes.example.org/ga4gh/tes/v1"
kind = "funnel"
storage = "shared"
token_file = "secrets/far-token"
ca_file = "/etc/wes/ca.pem"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "wes.toml"
    file.write_text(text)
    return file


def problem(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as told:
        read_configuration(written(folder, text))
    return str(told.value).removeprefix(f"{folder / 'wes.toml'}: ")


def far(keys: str, url: str = "https://tes.example.org/v1") -> str:
    return f'[tes.far]\nurl = "{url}"\n{keys}\n'


def test_servers_are_read_in_their_order_with_paths_beside_the_file(tmp_path: Path) -> None:
    near, far = read_configuration(written(tmp_path, FAR)).tes
    assert (near.name, near.kind, near.token_file) == ("near", "auto", None)
    assert (far.name, far.url, far.kind) == ("far", "https://tes.example.org/ga4gh/tes/v1", "funnel")
    assert (far.token_file, far.ca_file) == (tmp_path / "secrets/far-token", Path("/etc/wes/ca.pem"))
    assert far.origin == f"[tes.far] of {tmp_path / 'wes.toml'}"


def test_an_empty_file_names_nothing(tmp_path: Path) -> None:
    assert read_configuration(written(tmp_path, "")).tes == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (far('tokn_file = "x"'), "tes.far.tokn_file: there is no such key; did you mean token_file?"),
        (far('token = "hunter2"'), "tes.far.token: there is no such key"),
        (far('name = "x"'), "tes: far.name: there is no such key"),
        ('[tess.far]\nurl = "x"', "tess: there is no such key; did you mean tes?"),
        ('[tes]\nurl = "x"', "tes: 'url' stands outside of a server's table: begin it with [tes.NAME]"),
        ("tes = 3", "tes: Input should be a valid dictionary"),
        ('[tes.far]\nkind = "funnel"', "tes.far.url: Field required"),
        ('[tes."a b"]\nurl = "http://a"', "tes.a b: a name has up to 63 letters, digits, '.', '_' and '-'"),
        (
            far('kind = "toil"'),
            "tes.far.kind: Input should be 'auto', 'funnel', 'tesk', 'azure'",
        ),
        (
            far('storage = "nfs"'),
            "tes.far.storage: 'nfs' is neither \"shared\", a folder that this service and the TES see",
        ),
        (far('data = {"reads" = "s3://x"}'), "tes.far.data: 'reads' is no absolute path of a folder that --allow-data"),
        (
            far('data = {"/reads" = "reads"}'),
            "tes.far.data: 'reads' is no URL below which the TES reads the files of /r",
        ),
        (far('storage = "s3://runs//far"'), "tes.far.storage: 's3://runs//far' is neither"),
        (
            far('storage = "s3://runs/far"'),
            "tes.far.storage: nothing says how s3://runs/far is reached: add a table [stores.s3] with its endpoint",
        ),
        ('[stores."s3://other"]\n' + far('storage = "s3://runs"'), "tes.far.storage: nothing says how s3://runs is"),
        ('[stores.s3]\nendpont = "x"', "stores.s3.endpont: there is no such key; did you mean endpoint?"),
        ('[stores.s3]\nsecret_access_key = "hunter2"', "stores.s3.secret_access_key: there is no such key"),
        ('[stores.s3]\naccount = "x"', "stores.'s3': account is for az: stores only"),
        ('[stores.ftp]\nendpoint = "x"', "stores.'ftp': a store is named by az, gs, s3"),
        (
            far("", url="https://ann:hunter2@tes.example.org/v1"),
            "tes.far.url: a URL must hold no credentials: name username, and password_file with the password in it",
        ),
        (far('username = "ann"'), "tes.far: for a user name and password there must be password_file beside username"),
        (
            far('token_file = "a"\napi_key_file = "b"'),
            "tes.far: one kind of credentials is enough, and here are a bearer token and an API key: leave one out",
        ),
        (
            far('oauth2_token_url = "https://a/token"\noauth2_client_id = "b"'),
            "tes.far: for OAuth2 client credentials there must be oauth2_client_secret_file beside oauth2_",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_key_and_without_its_value(tmp_path: Path, text: str, told: str) -> None:
    said = problem(tmp_path, text)
    assert said.startswith(told)
    assert "hunter2" not in said


def test_limits_labels_and_data_are_read(tmp_path: Path) -> None:
    text = far(
        'max_cpu = 64\nmax_gpu = 0\nmax_tasks = 5\nholds = ["/data", "s3://x"]\nlabels = {site = "clinic"}\ncost = 2'
    )
    (server,) = read_configuration(written(tmp_path, text)).tes
    assert (server.max_cpu, server.max_gpu, server.max_tasks, server.max_ram_gb) == (64, 0, 5, None)
    assert (server.holds, server.cost, server.weight) == (("/data", "s3://x"), 2, 1)
    assert server.choices == ("far", "site=clinic")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("max_cpu = 0", "tes.far.max_cpu: Input should be greater than 0"),
        ("weight = inf", "tes.far.weight: Input should be a finite number"),
        (
            'reads = ["https", "s4"]',
            "tes.far.reads: 's4' is no kind of URL that a task may read: there are az, drs, ftp",
        ),
        ('reads = "https"', "tes.far.reads: "),
        ('holds = ["data"]', "tes.far.holds: 'data' is neither an absolute folder nor the beginning of a URL"),
        ("labels = {site = 3}", "tes.far.labels.site: Input should be a valid string"),
    ],
)
def test_a_limit_that_can_not_be_is_told(tmp_path: Path, keys: str, told: str) -> None:
    assert problem(tmp_path, far(keys)).startswith(told)


def test_one_server_has_one_name(tmp_path: Path) -> None:
    text = '[tes.a]\nurl = "http://h/v1"\n[tes.b]\nurl = "http://h/v1/"\n'
    assert problem(tmp_path, text) == "tes: a and b are the same server, http://h/v1/: give it one name"


def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert problem(tmp_path, "[tes.far\n").endswith("(at line 1, column 9)")
    (tmp_path / "wes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"wes.toml is not TOML"):
        read_configuration(tmp_path / "wes.toml")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the configuration .*wes.toml can't be read: No such file"):
        read_configuration(tmp_path / "wes.toml")


def test_a_secret_that_is_missing_or_open_to_others_is_told_with_its_key_and_its_file(open_tmp: Path) -> None:
    (server,) = read_configuration(written(open_tmp, far('token_file = "token"'))).tes
    where = rf"token_file of \[tes.far\] of {open_tmp}/wes.toml: {open_tmp}/token"
    with pytest.raises(SettingsError, match=f"{where} can't be read: No such file"):
        server.check_secrets()
    (open_tmp / "token").write_text("hunter2")
    (open_tmp / "token").chmod(0o644)
    with pytest.raises(SettingsError, match=f"{where} can be read by other accounts of this machine: chmod 600"):
        server.check_secrets()
    (open_tmp / "token").chmod(0o600)
    server.check_secrets()
    assert server.secret("token_file") == "hunter2"
    assert "hunter2" not in repr(server)


def test_a_server_of_a_variable_is_told_by_that_variable(tmp_path: Path) -> None:
    server = TesServer(name="a", url="http://a", token_file=tmp_path / "none")
    with pytest.raises(SettingsError, match=r"the token file \(WES_TES_TOKEN_FILE\) .*none can't be read"):
        server.check_secrets()


def test_a_storage_is_a_folder_in_a_store_that_a_table_tells_of(tmp_path: Path) -> None:
    store = '[stores."s3://runs"]\nendpoint = "http://127.0.0.1:9000"\nsecret_access_key_file = "keys/s3"\n'
    found = read_configuration(written(tmp_path, store + far('storage = "s3://runs/far/"')))
    assert found.tes[0].storage == "s3://runs/far"
    assert found.stores["s3://runs"].secret_access_key_file == tmp_path / "keys/s3"


@pytest.mark.parametrize("key", ['token_file = "t"', 'storage = "s3://runs/x"', 'username = "x"', 'ca_file = "x"'])
def test_the_embedded_tes_has_all_that_it_needs_itself(tmp_path: Path, key: str) -> None:
    said = problem(tmp_path, far(key, url="embedded") + "[stores.s3]\n")
    assert f"leave {key.split(maxsplit=1)[0]} out" in said


HOOK = '[hooks.lims]\nurl = "https://lims.example/x"\nsecret_file = "secrets/lims"\n'


def test_a_hook_is_read_with_its_secrets_path_beside_the_file(tmp_path: Path) -> None:
    hook = read_configuration(written(tmp_path, HOOK)).hooks["lims"]
    assert (hook.url, hook.secret_file) == ("https://lims.example/x", tmp_path / "secrets/lims")
    assert hook.states == ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HOOK.replace("lims]", '"a/b"]'), "hooks: 'a/b' is no name: it has up to 30 letters"),
        (HOOK.replace("https://", "ftp://"), "hooks.lims.url: this is no http:// or https:// URL"),
        (HOOK.replace("https://", "https://ann:hunter2@"), "hooks.lims.url: it holds a user name or password"),
        (HOOK + "states = []", "hooks.lims.states: "),
        (HOOK + 'states = ["RUNNING"]', "hooks.lims.states.0: "),
        (HOOK + 'sekret_file = "x"', "hooks.lims.sekret_file: there is no such key; did you mean secret_file?"),
        ('hooks.lims = "x"', "hooks: 'lims' stands outside of a hook's table"),
    ],
)
def test_what_is_wrong_in_a_hook_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    assert problem(tmp_path, text).startswith(sentence)
    assert "hunter2" not in problem(tmp_path, text)


MAIL = '[hooks.lab]\nurl = "mailto:lab@example.org"\n[smtp]\nhost = "mail.example.org"\nsender = "wes@example.org"\n'


def test_a_hook_may_be_an_address(tmp_path: Path) -> None:
    found = read_configuration(written(tmp_path, MAIL))
    assert found.hooks["lab"].address == "lab@example.org"
    assert found.smtp is not None
    assert (found.smtp.host, found.smtp.security, found.smtp.port) == ("mail.example.org", "starttls", None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MAIL.partition("[smtp]")[0], "hooks.lab.url: nothing says how mail is sent: add a table [smtp]"),
        (MAIL.replace("lab@", "Lab <lab@"), "hooks.lab.url: 'Lab <lab@example.org' is no e-mail address"),
        (MAIL.replace("lab@example.org", "a@b.c?bcc=x@y.z"), "hooks.lab.url: 'a@b.c?bcc=x@y.z' is no e-mail address"),
        (
            MAIL.replace("lab@example.org", r"a@b.c\r\nBcc: x@y.z"),
            "hooks.lab.url: 'a@b.c\\r\\nBcc: x@y.z' is no e-mail",
        ),
        (MAIL.replace("wes@example.org", r"wes@x.y\n"), "smtp.sender: 'wes@x.y\\n' is no e-mail address"),
        (MAIL.replace('.org"\n[smtp]', '.org"\nsecret_file = "x"\n[smtp]'), "hooks.lab: mail has neither secret_file"),
        (HOOK.replace("secret_file", "ca_file"), "hooks.lims: secret_file is missing"),
        (MAIL + 'username = "x"', "smtp: username and password_file belong together"),
        (MAIL + 'username = "x"\npassword_file = "p"\nsecurity = "none"', 'smtp: with security = "none" the password'),
        (MAIL + 'hots = "x"', "smtp.hots: there is no such key; did you mean host?"),
    ],
)
def test_what_is_wrong_with_mail_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    assert problem(tmp_path, text).startswith(sentence)

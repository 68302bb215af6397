import sys
from pathlib import Path

import pytest

from tes.http import tes_address
from wes_cli.programs import Child, ChildSpec, embedded_tes, previous_tes_url, record_tes_url, tes_program
from wes_service.settings import Settings


def test_the_embedded_tes_gets_what_wes_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TES_IMAGE_FALLBACK", "TES_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    for folder in ("tes", "secrets"):
        (tmp_path / folder).mkdir()
    tes = embedded_tes(tmp_path)
    told = tes_program(Settings(data=tmp_path), tes, sandboxed=True).environment
    assert "TES_IMAGE_FALLBACK" not in told
    settings = Settings(data=tmp_path, image_fallback=True, fetch_allow=("data.example", "10.0.0.0/8"))
    told = tes_program(settings, tes, sandboxed=True).environment
    assert told["TES_IMAGE_FALLBACK"] == "true"
    assert told["TES_FETCH_ALLOW"] == "data.example,10.0.0.0/8"
    monkeypatch.setenv("TES_FETCH_ALLOW", "other.example")
    assert tes_program(settings, tes, sandboxed=True).environment["TES_FETCH_ALLOW"] == "other.example"


def test_the_embedded_tes_has_a_socket_and_no_port(tmp_path: Path) -> None:
    for folder in ("tes", "secrets"):
        (tmp_path / folder).mkdir()
    tes = embedded_tes(tmp_path)
    environment = tes_program(Settings(data=tmp_path), tes, sandboxed=True).environment
    assert environment["TES_UDS"] == str(tmp_path / "tes" / "socket" / "tes.sock")
    assert tes_address(tes.url).socket == tes.socket
    assert tes.token_file.stat().st_mode & 0o777 == 0o600


def test_the_url_of_the_last_start_is_known_also_where_it_was_a_port(tmp_path: Path) -> None:
    for folder in ("tes", "secrets"):
        (tmp_path / folder).mkdir()
    assert previous_tes_url(tmp_path) is None
    (tmp_path / "tes" / "port").write_text("8091")
    assert previous_tes_url(tmp_path) == "http://127.0.0.1:8091/ga4gh/tes/v1"
    tes = embedded_tes(tmp_path)
    record_tes_url(tmp_path, tes)
    assert previous_tes_url(tmp_path) == tes.url
    assert not (tmp_path / "tes" / "port").exists()


def test_the_last_lines_are_those_of_this_start_of_the_service(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("an error of last week\n")
    program = "import sys; print('an error of today')"
    child = Child(spec=ChildSpec(name="api", argv=[sys.executable, "-c", program], environment={}), log=log)
    for _ in range(2):
        child.start()
        assert child.process is not None
        child.process.wait()
    assert child.last_lines() == "an error of today\nan error of today"

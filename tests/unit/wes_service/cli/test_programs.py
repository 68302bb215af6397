from pathlib import Path

import pytest

from wes_service.cli.programs import embedded_tes, tes_program
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

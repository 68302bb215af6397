from pathlib import Path

import pytest

from wes_service.cli.programs import embedded_tes, tes_program
from wes_service.settings import Settings


def test_the_embedded_tes_gets_what_wes_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TES_IMAGE_FALLBACK", raising=False)
    for folder in ("tes", "secrets"):
        (tmp_path / folder).mkdir()
    tes = embedded_tes(tmp_path)
    told = tes_program(Settings(data=tmp_path), tes, sandboxed=True).environment
    assert "TES_IMAGE_FALLBACK" not in told
    told = tes_program(Settings(data=tmp_path, image_fallback=True), tes, sandboxed=True).environment
    assert told["TES_IMAGE_FALLBACK"] == "true"

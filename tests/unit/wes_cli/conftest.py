"""A fake WES, and the command line against it."""

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from tests.fakes.wes_server import FakeWes, serving
from wes_cli.client import WesClient
from wes_cli.main import app

Wes = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[FakeWes]:
    with serving(FakeWes()) as wes:
        yield wes


@pytest.fixture
def client(server: FakeWes) -> WesClient:
    return WesClient(server.url)


@pytest.fixture
def wes(server: FakeWes, monkeypatch: pytest.MonkeyPatch) -> Wes:
    """Calls `wes` with the arguments, against the fake server."""
    monkeypatch.setenv("WES_SERVER", server.url)
    monkeypatch.delenv("WES_TOKEN_FILE", raising=False)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call
